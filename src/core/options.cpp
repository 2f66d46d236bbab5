#include "thinktune/core/options.h"

#include <cmath>

namespace thinktune::core {

bool contains(const IntRange& range, int64_t value) { return value >= range.min && value <= range.max; }

bool contains(const NumberRange& range, double value) {
  const bool above_min = range.min_excluded ? value > range.min : value >= range.min;
  const bool below_max = range.max_excluded ? value < range.max : value <= range.max;
  return above_min && below_max;
}

std::string to_string(const IntRange& range) {
  const bool has_min = range.min != std::numeric_limits<int64_t>::min();
  const bool has_max = range.max != std::numeric_limits<int64_t>::max();
  if (has_min && has_max) return fmt::format("{} … {}", range.min, range.max);
  if (has_min) return fmt::format("at least {}", range.min);
  if (has_max) return fmt::format("at most {}", range.max);
  return "any integer";
}

std::string to_string(const NumberRange& range) {
  std::string text;
  if (!std::isinf(range.min)) text = fmt::format("{} {}", range.min_excluded ? "more than" : "at least", range.min);
  if (!std::isinf(range.max)) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", range.max_excluded ? "less than" : "at most", range.max);
  }
  return text.empty() ? "any number" : text;
}

namespace {

std::string joined(const std::string& prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : fmt::format("{}.{}", prefix, name);
}

}  // namespace

void RangeChecker::integer(std::string_view name, int64_t& value, IntRange range, std::string_view) {
  if (!contains(range, value))
    throw user_error(fmt::format("{} is {}, allowed is {}", joined(prefix_, name), value, to_string(range)));
}

void RangeChecker::number(std::string_view name, double& value, NumberRange range, std::string_view) {
  if (!contains(range, value))
    throw user_error(fmt::format("{} is {}, allowed is {}", joined(prefix_, name), value, to_string(range)));
}

bool RangeChecker::begin_group(std::string_view name, std::string_view) {
  prefix_ = joined(prefix_, name);
  return true;
}

void RangeChecker::end_group() {
  const size_t dot = prefix_.rfind('.');
  prefix_ = dot == std::string::npos ? "" : prefix_.substr(0, dot);
}

}  // namespace thinktune::core
