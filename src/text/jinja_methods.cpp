// The methods of what is not text: lists, dicts, `loop`, cyclers.
#include <algorithm>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

Value list_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("count", arguments, {"value"}, 1);
  const auto& items = self.as_list().items;
  return Value::integer(
      std::count_if(items.begin(), items.end(), [&](const Value& v) { return equal(runtime, v, p[0]); }));
}

Value list_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("index", arguments, {"value"}, 1);
  const auto& items = self.as_list().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (equal(runtime, items[i], p[0])) return Value::integer(static_cast<int64_t>(i));
  fail("'index': the value is not in the list");
}

Value list_copy(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("copy", arguments, {});
  return runtime.list(self.as_list().items);
}

template <List::Flavor kFlavor>
Value dict_view(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("keys, values and items", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict().entries)
    items.push_back(kFlavor == List::Flavor::Keys     ? key
                    : kFlavor == List::Flavor::Values ? value
                                                      : runtime.list({key, value}, List::Flavor::Tuple));
  return runtime.list(std::move(items), kFlavor);
}

Value dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("get", arguments, {"key", "default"}, 1);
  runtime.charge(self.as_dict().entries.size() / 4);
  const Value* found = self.as_dict().find(p[0]);
  return found != nullptr ? *found : p.value_or(1, Value::none());
}

Value dict_copy(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("copy", arguments, {});
  return self;  // a dict never changes
}

Value loop_cycle(Runtime&, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) fail("'cycle' needs values to cycle through");
  return arguments.positional[self.as_loop()->index0 % arguments.positional.size()];
}

Value loop_changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  Loop& loop = *self.as_loop();
  Value now = runtime.list(arguments.positional, List::Flavor::Tuple);
  const bool has_changed = !loop.has_changed_value || !equal(runtime, loop.changed_value, now);
  if (!loop.has_changed_value) runtime.keep(self.as_loop());
  loop.has_changed_value = true;
  if (has_changed) loop.changed_value = std::move(now);
  return Value::boolean(has_changed);
}

Value cycler_next(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("next", arguments, {});
  State& state = self.as_state();
  const size_t at = std::exchange(state.next, (state.next + 1) % state.items.size());
  return state.items[at];
}

Value cycler_reset(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters p("reset", arguments, {});
  self.as_state().next = 0;
  return Value::none();
}

constexpr NamedFunction kListMethods[] = {{"copy", list_copy}, {"count", list_count}, {"index", list_index}};
constexpr NamedFunction kDictMethods[] = {{"copy", dict_copy},
                                          {"get", dict_get},
                                          {"items", dict_view<List::Flavor::Items>},
                                          {"keys", dict_view<List::Flavor::Keys>},
                                          {"values", dict_view<List::Flavor::Values>}};
constexpr NamedFunction kLoopMethods[] = {{"changed", loop_changed}, {"cycle", loop_cycle}};
constexpr NamedFunction kCyclerMethods[] = {{"next", cycler_next}, {"reset", cycler_reset}};

template <size_t kSize>
const NamedFunction* find_in(const NamedFunction (&methods)[kSize], std::string_view name) {
  for (const auto& method : methods)
    if (method.name == name) return &method;
  return nullptr;
}

}  // namespace

const NamedFunction* find_method(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::Text:
      return find_text_method(name);
    case Kind::Dict:
      return find_in(kDictMethods, name);
    case Kind::Loop:
      return find_in(kLoopMethods, name);
    case Kind::State:
      return object.as_state().type == State::Type::Cycler ? find_in(kCyclerMethods, name) : nullptr;
    case Kind::List:
      if (!object.as_list().is_sequence() || (name == "copy" && object.as_list().flavor != List::Flavor::List))
        return nullptr;
      return find_in(kListMethods, name);
    default:
      return nullptr;
  }
}

}  // namespace thinktune::text::jinja
