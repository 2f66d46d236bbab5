// One run of a template: its limits, and the doors by which new values are made.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <ctime>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>

#include "text/jinja_value.h"
#include "thinktune/text/chat_template.h"

namespace thinktune::text::jinja {

inline constexpr int kMaxValueDepth = 100;  // lists in lists in dicts …
inline constexpr int kMaxCallDepth = 400;   // nested evaluations, statements and macro calls together

// What goes wrong in a template, still without its line.
class TemplateError : public std::exception {
 public:
  explicit TemplateError(std::string message, bool is_refusal = false)
      : message_(std::move(message)), is_refusal_(is_refusal) {}
  const char* what() const noexcept override { return message_.c_str(); }
  bool is_refusal() const { return is_refusal_; }  // raise_exception was called

 private:
  std::string message_;
  bool is_refusal_;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(fmt::format(format, std::forward<Args>(args)...));
}

class Runtime {
 public:
  explicit Runtime(const RenderLimits& limits) : limits_(limits) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  // Work that is about to be done, in steps; every value visited and every 32 bytes touched is one.
  void charge(size_t steps) {
    steps_ += static_cast<int64_t>(steps);
    if (steps_ > limits_.steps) too_many_steps();
  }
  // Refuses a text (bytes) or list (items) that would be too large, before it is made.
  void check_text(size_t bytes);
  void check_items(size_t items);
  void check_output(size_t bytes);
  void take_memory(size_t bytes);
  void give_memory(size_t bytes) { memory_ -= static_cast<int64_t>(bytes); }

  Value text(MarkedText text);
  Value text(std::string bytes, Mark mark) { return this->text(MarkedText(std::move(bytes), mark)); }
  Value list(std::vector<Value> items, List::Flavor flavor = List::Flavor::List);
  Value dict(std::vector<std::pair<Value, Value>> entries);  // a key met again changes the first one's value
  Value iterator(std::vector<Value> items);
  Value make_namespace();
  Value method(std::string_view name, Function function, Value self);

  // Objects that can come to hold themselves; emptied when the run ends.
  void keep(std::shared_ptr<Scope> scope) { scopes_.push_back(std::move(scope)); }
  void keep(std::shared_ptr<Loop> loop) { loops_.push_back(std::move(loop)); }
  void keep(std::shared_ptr<State> state) { states_.push_back(std::move(state)); }

  std::tm now{};

 private:
  [[noreturn]] void too_many_steps() const;

  RenderLimits limits_;
  int64_t steps_ = 0;
  int64_t memory_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> scopes_;
  std::vector<std::shared_ptr<Loop>> loops_;
  std::vector<std::shared_ptr<State>> states_;
};

// The arguments of a function, bound to its parameters' names. Throws for too many, unknown and missing ones.
class Parameters {
 public:
  Parameters(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names,
             size_t num_required = 0);

  bool has(size_t i) const { return values_[i] != nullptr; }
  const Value& operator[](size_t i) const { return *values_[i]; }  // one that has()
  Value value_or(size_t i, Value otherwise) const { return has(i) ? *values_[i] : std::move(otherwise); }
  // Throw if the argument is of another type.
  int64_t integer(size_t i) const;
  int64_t integer_or(size_t i, int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  const MarkedText& text(size_t i) const;
  bool boolean_or(size_t i, bool otherwise) const { return has(i) ? is_true(*values_[i]) : otherwise; }

 private:
  std::string_view function_;
  static constexpr size_t kMax = 8;
  const Value* values_[kMax] = {};
  std::string_view names_[kMax];
};

// Each throws for a value of the wrong kind.
const MarkedText& require_text(std::string_view function, const Value& value);
int64_t require_integer(std::string_view function, const Value& value);

// The items of whatever can be walked; an iterator is used up by it.
std::shared_ptr<const List> items_of(Runtime& runtime, const Value& value);

bool equal(Runtime& runtime, const Value& a, const Value& b);
// -1, 0, 1, or 2 where one is not a number; throws where Python does.
int compare(Runtime& runtime, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);

MarkedText to_text(Runtime& runtime, const Value& value);  // Python's str(): undefined is empty
MarkedText repr(Runtime& runtime, const Value& value);
std::string format_double(double value);  // Python's repr

// Python's json.dumps.
struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // absent: all on one line
  std::string item_separator;
  std::string key_separator = ": ";
  bool sort_keys = false;
};
MarkedText to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

// Attributes and items. What is not there is undefined; what the sandbox forbids throws.
Value attribute(Runtime& runtime, const Value& object, const std::string& name);
Value item(Runtime& runtime, const Value& object, const Value& key);
Value slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& step);

struct NamedFunction {
  std::string_view name;  // of static lifetime
  Function function;
};
// Null if there is none of that name.
const NamedFunction* find_method(const Value& object, std::string_view name);
const NamedFunction* find_text_method(std::string_view name);
const NamedFunction* find_text_query(std::string_view name);  // isalpha and its like
Function find_filter(std::string_view name);
Function find_list_filter(std::string_view name);
Function find_select_filter(std::string_view name);
Function find_test(std::string_view name);
const NamedFunction* find_global(std::string_view name);

enum class Operator { Add, Subtract, Multiply, Divide, FloorDivide, Modulo, Power };
Value arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b);
Value negated(const Value& value);

// What `attribute=` of a filter names: "a.b.0", or an index. What is not there on the way is `otherwise`, unless none.
Value deep_attribute(Runtime& runtime, const Value& object, const Value& path, const Value& otherwise = Value::none());

// "%s of %d" % values, and "{} of {}".format(…).
MarkedText format_percent(Runtime& runtime, const MarkedText& format, const Value& values);
MarkedText format_braces(Runtime& runtime, const MarkedText& format, const Arguments& arguments);
MarkedText escape_html(const MarkedText& text);
MarkedText format_time(const std::tm& time, const MarkedText& format);

}  // namespace thinktune::text::jinja
