// Jinja's tests: what may stand behind `is`.
#include <algorithm>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

template <bool (*kIs)(const Value&)>
Value simple(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("this test", arguments, {});
  return Value::boolean(kIs(self));
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::Bool); }
bool is_yes(const Value& v) { return v.is(Kind::Bool) && is_true(v); }
bool is_no(const Value& v) { return v.is(Kind::Bool) && !is_true(v); }
bool is_integer(const Value& v) { return v.is(Kind::Int); }
bool is_float(const Value& v) { return v.is(Kind::Float); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_text(); }
bool is_mapping(const Value& v) { return v.is(Kind::Dict); }
bool is_iterable(const Value& v) {
  return v.is_undefined() || v.is_text() || v.is(Kind::List) || v.is(Kind::Dict) || v.is(Kind::Iterator) ||
         v.is(Kind::Loop);
}
bool is_sequence(const Value& v) {
  return v.is_undefined() || v.is_text() || v.is(Kind::Dict) || (v.is(Kind::List) && v.as_list().is_sequence());
}
bool is_callable(const Value& v) {
  return v.is(Kind::Callable) || v.is(Kind::Loop) || v.is_undefined() ||
         (v.is(Kind::State) && v.as_state().type == State::Type::Joiner);
}
bool is_escaped(const Value& v) { return v.is_text() && v.as_text().is_markup; }
bool is_odd(const Value& v) { return require_integer("odd", v) % 2 != 0; }
bool is_even(const Value& v) { return require_integer("even", v) % 2 == 0; }

// Tests of the method isupper and its like take any value, as its text.
template <bool kUpper>
Value has_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Value text = self.is_text() ? self : runtime.text(to_text(runtime, self));
  return find_text_method(kUpper ? "isupper" : "islower")->function(runtime, text, arguments);
}

Value divisible_by(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("divisibleby", arguments, {"num"}, 1);
  return Value::boolean(!is_true(arithmetic(runtime, Operator::Modulo, self, p[0])));
}

template <bool kEqual>
Value equals(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("equalto", arguments, {"other"}, 1);
  return Value::boolean(equal(runtime, self, p[0]) == kEqual);
}

template <int kFirst, int kSecond>
Value ordered(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("this comparison", arguments, {"other"}, 1);
  const int order = compare(runtime, self, p[0]);
  return Value::boolean(order == kFirst || order == kSecond);
}

Value in(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("in", arguments, {"seq"}, 1);
  return Value::boolean(contains(runtime, p[0], self));
}

Value same_as(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("sameas", arguments, {"other"}, 1);
  return Value::boolean(self.same_object(p[0]));
}

Value names_filter(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("filter", arguments, {});
  return Value::boolean(find_filter(require_text("filter", self).bytes()) != nullptr);
}

Value names_test(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("test", arguments, {});
  return Value::boolean(find_test(require_text("test", self).bytes()) != nullptr);
}

constexpr NamedFunction kTests[] = {
    {"!=", equals<false>},
    {"<", ordered<-1, -1>},
    {"<=", ordered<-1, 0>},
    {"==", equals<true>},
    {">", ordered<1, 1>},
    {">=", ordered<1, 0>},
    {"boolean", simple<is_boolean>},
    {"callable", simple<is_callable>},
    {"defined", simple<is_defined>},
    {"divisibleby", divisible_by},
    {"eq", equals<true>},
    {"equalto", equals<true>},
    {"escaped", simple<is_escaped>},
    {"even", simple<is_even>},
    {"false", simple<is_no>},
    {"filter", names_filter},
    {"float", simple<is_float>},
    {"ge", ordered<1, 0>},
    {"greaterthan", ordered<1, 1>},
    {"gt", ordered<1, 1>},
    {"in", in},
    {"integer", simple<is_integer>},
    {"iterable", simple<is_iterable>},
    {"le", ordered<-1, 0>},
    {"lessthan", ordered<-1, -1>},
    {"lower", has_case<false>},
    {"lt", ordered<-1, -1>},
    {"mapping", simple<is_mapping>},
    {"ne", equals<false>},
    {"none", simple<is_none>},
    {"number", simple<is_number>},
    {"odd", simple<is_odd>},
    {"sameas", same_as},
    {"sequence", simple<is_sequence>},
    {"string", simple<is_string>},
    {"test", names_test},
    {"true", simple<is_yes>},
    {"undefined", simple<is_undefined>},
    {"upper", has_case<true>},
};

}  // namespace

Function find_test(std::string_view name) {
  for (const auto& test : kTests)
    if (test.name == name) return test.function;
  return nullptr;
}

}  // namespace thinktune::text::jinja
