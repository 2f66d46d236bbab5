// map, select, reject, selectattr and rejectattr: filters that apply another filter or a test to each item.
#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

// The arguments behind the first `taken` ones, for the filter or test that is applied.
Arguments behind(const Arguments& arguments, size_t taken) {
  Arguments rest;
  if (arguments.positional.size() > taken)
    rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken),
                           arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

Value map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto list = items_of(runtime, self);
  std::vector<Value> mapped;
  mapped.reserve(list->items.size());
  if (arguments.positional.empty()) {
    const Parameters p("map", arguments, {"attribute", "default"});
    if (!p.has(0)) fail("'map' needs a filter's name or attribute=…");
    for (const Value& value : list->items)
      mapped.push_back(deep_attribute(runtime, value, p[0], p.value_or(1, Value::none())));
    return runtime.iterator(std::move(mapped));
  }
  const std::string& name = require_text("map", arguments.positional[0]).bytes();
  const Function filter = find_filter(name);
  if (filter == nullptr) fail("no filter is named '{}'", name);
  const Arguments rest = behind(arguments, 1);
  for (const Value& value : list->items) {
    runtime.charge(1);
    mapped.push_back(filter(runtime, value, rest));
  }
  return runtime.iterator(std::move(mapped));
}

template <bool kKeepTrue, bool kOfAttribute>
Value select(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto list = items_of(runtime, self);
  const auto& given = arguments.positional;
  constexpr size_t kTest = kOfAttribute ? 1 : 0;
  if (kOfAttribute && given.empty()) fail("'selectattr' and 'rejectattr' need an attribute's name");
  Function test = nullptr;
  if (given.size() > kTest) {
    const std::string& name = require_text("select", given[kTest]).bytes();
    test = find_test(name);
    if (test == nullptr) fail("no test is named '{}'", name);
  }
  const Arguments rest = behind(arguments, kTest + 1);
  std::vector<Value> kept;
  for (const Value& value : list->items) {
    runtime.charge(1);
    const Value tested = kOfAttribute ? deep_attribute(runtime, value, given[0]) : value;
    if (is_true(test != nullptr ? test(runtime, tested, rest) : tested) == kKeepTrue) kept.push_back(value);
  }
  return runtime.iterator(std::move(kept));
}

constexpr NamedFunction kFilters[] = {
    {"map", map},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
};

}  // namespace

Function find_select_filter(std::string_view name) {
  for (const auto& filter : kFilters)
    if (filter.name == name) return filter.function;
  return nullptr;
}

}  // namespace thinktune::text::jinja
