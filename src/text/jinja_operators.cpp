// What + - * / // % ** and the comparisons do, as Python does them; integers have 64 bits and overflow is an error.
#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

const char* symbol_of(Operator op) {
  switch (op) {
    case Operator::Add:
      return "+";
    case Operator::Subtract:
      return "-";
    case Operator::Multiply:
      return "*";
    case Operator::Divide:
      return "/";
    case Operator::FloorDivide:
      return "//";
    case Operator::Modulo:
      return "%";
    case Operator::Power:
      break;
  }
  return "**";
}

[[noreturn]] void overflow(Operator op, int64_t a, int64_t b) {
  fail("{} {} {} does not fit into a 64-bit integer", a, symbol_of(op), b);
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0 cannot be raised to a negative power");
    return Value::number(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (int64_t factor = base, left = exponent; left > 0; left >>= 1) {
    if ((left & 1) != 0 && __builtin_mul_overflow(result, factor, &result)) overflow(Operator::Power, base, exponent);
    // The last square is not needed and may be too large.
    if (left > 1 && __builtin_mul_overflow(factor, factor, &factor)) overflow(Operator::Power, base, exponent);
  }
  return Value::integer(result);
}

Value integers(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Operator::Add:
      if (__builtin_add_overflow(a, b, &result)) overflow(op, a, b);
      return Value::integer(result);
    case Operator::Subtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow(op, a, b);
      return Value::integer(result);
    case Operator::Multiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow(op, a, b);
      return Value::integer(result);
    case Operator::Power:
      return integer_power(a, b);
    default:
      break;
  }
  if (b == 0) fail("{} {} 0: division by zero", a, symbol_of(op));
  if (op == Operator::Divide) return Value::number(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) return op == Operator::Modulo ? Value::integer(0) : integers(Operator::Subtract, 0, a);
  const int64_t rest = a % b;
  const bool rounds_down = rest != 0 && (rest < 0) != (b < 0);  // C++ rounds to zero, Python down
  if (op == Operator::Modulo) return Value::integer(rounds_down ? rest + b : rest);
  return Value::integer(a / b - (rounds_down ? 1 : 0));
}

Value doubles(Operator op, double a, double b) {
  switch (op) {
    case Operator::Add:
      return Value::number(a + b);
    case Operator::Subtract:
      return Value::number(a - b);
    case Operator::Multiply:
      return Value::number(a * b);
    case Operator::Power:
      if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
      if (a < 0 && std::floor(b) != b) fail("a negative number to a broken power is no real number");
      return Value::number(std::pow(a, b));
    default:
      break;
  }
  if (b == 0) fail("{} {} 0.0: division by zero", format_double(a), symbol_of(op));
  if (op == Operator::Divide) return Value::number(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == Operator::Modulo) return Value::number(rest == 0 ? std::copysign(0.0, b) : rest);
  const double quotient = (a - rest) / b;
  const double whole = std::floor(quotient);
  return Value::number(quotient - whole > 0.5 ? whole + 1 : whole);
}

Value joined(Runtime& runtime, const MarkedText& a, const MarkedText& b) {
  runtime.check_text(a.size() + b.size());
  if (a.is_markup == b.is_markup) {
    MarkedText both = a;
    both.append(b);
    both.is_markup = a.is_markup;
    return runtime.text(std::move(both));
  }
  MarkedText both = a.is_markup ? a : escape_html(a);
  both.append(a.is_markup ? escape_html(b) : b);
  both.is_markup = true;
  return runtime.text(std::move(both));
}

Value joined(Runtime& runtime, const List& a, const List& b) {
  runtime.check_items(a.items.size() + b.items.size());
  std::vector<Value> both;
  both.reserve(a.items.size() + b.items.size());
  both.insert(both.end(), a.items.begin(), a.items.end());
  both.insert(both.end(), b.items.begin(), b.items.end());
  return runtime.list(std::move(both), a.is_tuple() ? List::Flavor::Tuple : List::Flavor::List);
}

Value repeated(Runtime& runtime, const Value& what, int64_t times) {
  const size_t count = times < 0 ? 0 : static_cast<size_t>(times);
  const size_t size = what.is_text() ? what.as_text().size() : what.as_list().items.size();
  size_t whole = 0;
  if (__builtin_mul_overflow(size, count, &whole)) whole = std::numeric_limits<size_t>::max();
  if (what.is_text()) {
    runtime.check_text(whole);
    MarkedText all;
    for (size_t i = 0; i < count && size > 0; ++i) all.append(what.as_text());
    all.is_markup = what.as_text().is_markup;
    return runtime.text(std::move(all));
  }
  runtime.check_items(whole);
  std::vector<Value> all;
  all.reserve(whole);
  for (size_t i = 0; i < count && size > 0; ++i)
    all.insert(all.end(), what.as_list().items.begin(), what.as_list().items.end());
  return runtime.list(std::move(all), what.as_list().is_tuple() ? List::Flavor::Tuple : List::Flavor::List);
}

bool may_repeat(const Value& value) {
  return value.is_text() ||
         (value.is(Kind::List) && (value.as_list().is_tuple() || value.as_list().flavor == List::Flavor::List));
}

}  // namespace

Value arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integers(op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return doubles(op, a.as_double(), b.as_double());
  if (op == Operator::Modulo && a.is_text()) return runtime.text(format_percent(runtime, a.as_text(), b));
  if (a.is_undefined()) fail("{}", explain(a.as_undefined()));
  if (b.is_undefined()) fail("{}", explain(b.as_undefined()));
  if (op == Operator::Add) {
    if (a.is_text() && b.is_text()) return joined(runtime, a.as_text(), b.as_text());
    if (may_repeat(a) && may_repeat(b) && a.kind() == b.kind() && a.as_list().is_tuple() == b.as_list().is_tuple())
      return joined(runtime, a.as_list(), b.as_list());
  }
  if (op == Operator::Multiply) {
    if (may_repeat(a) && b.is_integral()) return repeated(runtime, a, b.as_integer());
    if (may_repeat(b) && a.is_integral()) return repeated(runtime, b, a.as_integer());
  }
  fail("'{}' does not work between {} and {}", symbol_of(op), type_name(a), type_name(b));
}

Value negated(const Value& value) {
  if (value.is(Kind::Float)) return Value::number(-value.as_double());
  return integers(Operator::Subtract, 0, require_integer("-", value));
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(1);
  if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
  if (a.is_number() && b.is_number()) return compare(runtime, a, b) == 0 && a.as_double() == a.as_double();
  if (a.kind() != b.kind()) return false;
  if (a.is_text()) {
    runtime.charge(std::min(a.as_text().size(), b.as_text().size()) / 32);
    return a.bytes() == b.bytes();
  }
  if (a.same_object(b)) return true;
  if (a.is(Kind::List)) {
    const List &x = a.as_list(), &y = b.as_list();
    if (x.is_tuple() != y.is_tuple() || (x.flavor != y.flavor && !x.is_tuple()) || x.items.size() != y.items.size())
      return false;
    for (size_t i = 0; i < x.items.size(); ++i)
      if (!equal(runtime, x.items[i], y.items[i])) return false;
    return true;
  }
  if (a.is(Kind::Dict)) {
    const Dict &x = a.as_dict(), &y = b.as_dict();
    if (x.entries.size() != y.entries.size()) return false;
    for (const auto& [key, value] : x.entries) {
      runtime.charge(y.entries.size() / 4);
      const Value* other = y.find(key);
      if (other == nullptr || !equal(runtime, value, *other)) return false;
    }
    return true;
  }
  return false;
}

int compare(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral())
      return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer();
    // A long double holds every 64-bit integer and every double.
    const auto wide = [](const Value& v) {
      return v.is_integral() ? static_cast<long double>(v.as_integer()) : static_cast<long double>(v.as_double());
    };
    return wide(a) < wide(b) ? -1 : wide(a) > wide(b) ? 1 : wide(a) == wide(b) ? 0 : 2;  // 2: not a number
  }
  if (a.is_undefined()) fail("{}", explain(a.as_undefined()));
  if (b.is_undefined()) fail("{}", explain(b.as_undefined()));
  if (a.is_text() && b.is_text()) {
    runtime.charge(std::min(a.as_text().size(), b.as_text().size()) / 32);
    const int order = a.bytes().compare(b.bytes());  // UTF-8 is in the order of code points
    return order < 0 ? -1 : order > 0;
  }
  const auto ordered = [](const Value& v) {
    return v.is(Kind::List) && (v.as_list().flavor == List::Flavor::List || v.as_list().is_tuple());
  };
  if (!ordered(a) || !ordered(b) || a.as_list().is_tuple() != b.as_list().is_tuple())
    fail("{} and {} have no order", type_name(a), type_name(b));
  const auto &x = a.as_list().items, &y = b.as_list().items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (!equal(runtime, x[i], y[i])) return compare(runtime, x[i], y[i]);
  return x.size() < y.size() ? -1 : x.size() > y.size();
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_text()) {
    if (!item.is_text()) fail("'in' a string needs a string, not {}", type_name(item));
    runtime.charge(container.as_text().size() / 32);
    return locate(container.bytes(), item.bytes()) != std::string::npos;
  }
  if (container.is(Kind::Dict)) {
    runtime.charge(container.as_dict().entries.size() / 4);
    return container.as_dict().find(item) != nullptr;
  }
  const auto list = items_of(runtime, container);
  return std::any_of(list->items.begin(), list->items.end(),
                     [&](const Value& candidate) { return equal(runtime, item, candidate); });
}

}  // namespace thinktune::text::jinja
