// Options: one struct a room is the one place for its settings. The room describes each field once (name, unit, range,
// effect); from that description come the JSON reader, the written config, the defaults, the documentation and the
// range checks.
//
//   struct AdamWOptions { double lr = 1e-6; };                                        // defaults stand in the
//   declaration void describe(core::Fields& f, AdamWOptions& o) {                                 // found by
//   argument-dependent lookup
//     f.number("lr", o.lr, core::above(0.0), "learning rate");
//   }
//   void validate(AdamWOptions o) { core::check_ranges(o, "optim"); /* and what two fields must satisfy together */ }
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thinktune/core/error.h"

namespace thinktune::core {

// Names of an enumeration's values, in the order in which the documentation lists them.
template <class E>
using Choices = std::vector<std::pair<std::string_view, E>>;

template <class E>
std::string_view name_of(const Choices<E>& choices, E value) {
  for (const auto& [name, v] : choices)
    if (v == value) return name;
  throw internal_error("an enumeration has a value without a name");
}

struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};
constexpr IntRange at_least(int64_t min) { return {min, std::numeric_limits<int64_t>::max()}; }

struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false;
  bool max_excluded = false;
};
constexpr NumberRange at_least(double min) { return {.min = min}; }
constexpr NumberRange above(double min) { return {.min = min, .min_excluded = true}; }
constexpr NumberRange between(double min, double max) { return {.min = min, .max = max}; }

std::string to_string(const IntRange& range);     // "1 … 8", "at least 1", "any integer"
std::string to_string(const NumberRange& range);  // "more than 0, at most 1"

// Visits the fields of an options struct in order. Readers change the values, writers and checkers do not.
class Fields {
 public:
  virtual ~Fields() = default;

  virtual void boolean(std::string_view name, bool& value, std::string_view doc) = 0;
  virtual void integer(std::string_view name, int64_t& value, IntRange range, std::string_view doc) = 0;
  virtual void number(std::string_view name, double& value, NumberRange range, std::string_view doc) = 0;
  virtual void text(std::string_view name, std::string& value, std::string_view doc) = 0;
  virtual void texts(std::string_view name, std::vector<std::string>& value, std::string_view doc) = 0;

  template <class E>
  void choice(std::string_view name, E& value, const Choices<E>& choices, std::string_view doc) {
    std::vector<std::string_view> names;
    size_t index = 0;
    for (size_t i = 0; i < choices.size(); ++i) {
      names.push_back(choices[i].first);
      if (choices[i].second == value) index = i;
    }
    choice_index(name, index, names, doc);
    value = choices[index].second;
  }

  // A struct inside: its fields appear below `name`.
  template <class T>
  void group(std::string_view name, T& options, std::string_view doc) {
    if (!begin_group(name, doc)) return;
    describe(*this, options);
    end_group();
  }

 protected:
  virtual void choice_index(std::string_view name, size_t& index, const std::vector<std::string_view>& names,
                            std::string_view doc) = 0;
  virtual bool begin_group(std::string_view name, std::string_view doc) = 0;  // false: leave the group out
  virtual void end_group() = 0;
};

// Throws Error{User} for the first field outside its range, naming field, value and range.
class RangeChecker final : public Fields {
 public:
  explicit RangeChecker(std::string prefix) : prefix_(std::move(prefix)) {}
  void boolean(std::string_view, bool&, std::string_view) override {}
  void integer(std::string_view name, int64_t& value, IntRange range, std::string_view doc) override;
  void number(std::string_view name, double& value, NumberRange range, std::string_view doc) override;
  void text(std::string_view, std::string&, std::string_view) override {}
  void texts(std::string_view, std::vector<std::string>&, std::string_view) override {}

 protected:
  void choice_index(std::string_view, size_t&, const std::vector<std::string_view>&, std::string_view) override {}
  bool begin_group(std::string_view name, std::string_view doc) override;
  void end_group() override;

 private:
  std::string prefix_;  // dotted path of the group, e.g. "guidance.schedule"
};

template <class T>
void check_ranges(T options, std::string prefix) {
  RangeChecker checker(std::move(prefix));
  describe(checker, options);
}

bool contains(const IntRange& range, int64_t value);
bool contains(const NumberRange& range, double value);  // false for NaN

}  // namespace thinktune::core
