// Attributes, items, slices, and walking over a value.
#include <algorithm>
#include <limits>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {
namespace {

// Methods by which Python's lists and dicts are changed. The sandbox of transformers forbids them.
bool is_mutating(const Value& object, std::string_view name) {
  static constexpr std::string_view kList[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is(Kind::List) && object.as_list().flavor == List::Flavor::List)
    return std::find(std::begin(kList), std::end(kList), name) != std::end(kList);
  return object.is(Kind::Dict) && std::find(std::begin(kDict), std::end(kDict), name) != std::end(kDict);
}

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto size = static_cast<int64_t>(loop.list->items.size());
  const auto at = static_cast<int64_t>(loop.index0);
  if (name == "index") return Value::integer(at + 1);
  if (name == "index0") return Value::integer(at);
  if (name == "first") return Value::boolean(at == 0);
  if (name == "last") return Value::boolean(at + 1 == size);
  if (name == "length") return Value::integer(size);
  if (name == "revindex") return Value::integer(size - at);
  if (name == "revindex0") return Value::integer(size - at - 1);
  if (name == "depth") return Value::integer(loop.depth);
  if (name == "depth0") return Value::integer(loop.depth - 1);
  if (name == "previtem" && at > 0) return loop.list->items[loop.index0 - 1];
  if (name == "nextitem" && at + 1 < size) return loop.list->items[loop.index0 + 1];
  return Value::undefined();
}

// Attributes that are no methods; undefined where there is none.
Value plain_attribute(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::Namespace:
      if (const Value* value = object.as_namespace().find(name)) return *value;
      break;
    case Kind::Loop:
      return loop_attribute(*object.as_loop(), name);
    case Kind::State:
      if (name == "current" && object.as_state().type == State::Type::Cycler)
        return object.as_state().items[object.as_state().next];
      break;
    case Kind::List:
      if (object.as_list().flavor == List::Flavor::Group && (name == "grouper" || name == "list"))
        return object.as_list().items[name == "list" ? 1 : 0];
      break;
    default:
      break;
  }
  return Value::undefined();
}

// An attribute as Python's getattr finds it; undefined where there is none.
Value own_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (is_mutating(object, name))
    fail("'{}' would change a {}, which a chat template may not: use {{% set %}} with a new value, or a namespace",
         name, type_name(object));
  if (const NamedFunction* method = find_method(object, name))
    return runtime.method(method->name, method->function, object);
  return plain_attribute(object, name);
}

const Value* dict_item(Runtime& runtime, const Value& object, const Value& key) {
  runtime.charge(object.as_dict().entries.size() / 4);
  return object.as_dict().find(key);
}

// One index, counted from the end where negative; -1 if there is no such item.
int64_t index_of(int64_t index, size_t size) {
  const auto count = static_cast<int64_t>(size);
  if (index < 0) index += count;
  return index >= 0 && index < count ? index : -1;
}

Value character(Runtime& runtime, const MarkedText& text, int64_t index) {
  runtime.charge(text.size() / 32);
  const auto starts = character_starts(text.bytes());
  const int64_t at = index_of(index, starts.size() - 1);
  if (at < 0) return Value::undefined(nullptr, "str");
  return runtime.text(text.slice(starts[static_cast<size_t>(at)], starts[static_cast<size_t>(at) + 1]));
}

}  // namespace

Value attribute(Runtime& runtime, const Value& object, const std::string& name) {
  if (object.is_undefined()) fail("{}", explain(object.as_undefined()));
  Value own = own_attribute(runtime, object, name);
  if (!own.is_undefined()) return own;
  if (object.is(Kind::Dict)) {
    runtime.charge(object.as_dict().entries.size() / 4);
    if (const Value* value = object.as_dict().find(name)) return *value;
  }
  return Value::undefined(&name, type_name(object));
}

Value item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) fail("{}", explain(object.as_undefined()));
  if (object.is(Kind::Dict)) {
    if (const Value* value = dict_item(runtime, object, key)) return *value;
  } else if (key.is_integral()) {
    if (object.is_text()) return character(runtime, object.as_text(), key.as_integer());
    if (object.is(Kind::List) && object.as_list().is_sequence()) {
      const auto& items = object.as_list().items;
      const int64_t at = index_of(key.as_integer(), items.size());
      return at < 0 ? Value::undefined(nullptr, type_name(object)) : items[static_cast<size_t>(at)];
    }
  }
  if (key.is_text()) {
    Value own = own_attribute(runtime, object, key.bytes());
    if (!own.is_undefined()) return own;
  }
  return Value::undefined(nullptr, type_name(object));
}

namespace {

struct Bounds {
  int64_t start = 0, stop = 0, step = 1;
};

// Python's slice.indices.
Bounds bounds_of(const Value& start, const Value& stop, const Value& step, size_t size) {
  const auto count = static_cast<int64_t>(size);
  Bounds bounds;
  if (!step.is_none()) bounds.step = require_integer("a slice's step", step);
  if (bounds.step == 0) fail("a slice's step is 0");
  if (bounds.step == std::numeric_limits<int64_t>::min()) ++bounds.step;
  const int64_t lowest = bounds.step < 0 ? -1 : 0, highest = bounds.step < 0 ? count - 1 : count;
  const auto clamped = [&](const Value& bound, const char* what, int64_t otherwise) {
    if (bound.is_none()) return otherwise;
    int64_t at = require_integer(what, bound);
    if (at < 0) at += count;
    return std::clamp(at, lowest, highest);
  };
  bounds.start = clamped(start, "a slice's start", bounds.step < 0 ? highest : lowest);
  bounds.stop = clamped(stop, "a slice's end", bounds.step < 0 ? lowest : highest);
  return bounds;
}

template <class Take>
void walk(const Bounds& bounds, const Take& take) {
  const int64_t distance = bounds.step > 0 ? bounds.stop - bounds.start : bounds.start - bounds.stop;
  if (distance <= 0) return;
  const int64_t stride = bounds.step > 0 ? bounds.step : -bounds.step;
  for (int64_t n = (distance - 1) / stride, i = 0; i <= n; ++i)
    take(static_cast<size_t>(bounds.start + i * bounds.step));
}

}  // namespace

Value slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is_undefined()) fail("{}", explain(object.as_undefined()));
  if (object.is_text()) {
    const MarkedText& text = object.as_text();
    runtime.charge(text.size() / 32);
    const auto starts = character_starts(text.bytes());
    const Bounds bounds = bounds_of(start, stop, step, starts.size() - 1);
    if (bounds.step == 1)
      return runtime.text(text.slice(starts[static_cast<size_t>(bounds.start)],
                                     starts[static_cast<size_t>(std::max(bounds.start, bounds.stop))]));
    MarkedText part;
    walk(bounds, [&](size_t i) { part.append(text, starts[i], starts[i + 1]); });
    return runtime.text(std::move(part));
  }
  if (object.is(Kind::List) && object.as_list().is_sequence()) {
    const auto& items = object.as_list().items;
    runtime.charge(items.size());
    std::vector<Value> part;
    walk(bounds_of(start, stop, step, items.size()), [&](size_t i) { part.push_back(items[i]); });
    return runtime.list(std::move(part), object.as_list().is_tuple() ? List::Flavor::Tuple : object.as_list().flavor);
  }
  fail("a {} cannot be sliced", type_name(object));
}

std::shared_ptr<const List> items_of(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::List:
      runtime.charge(value.as_list().items.size() / 8);
      return value.list_pointer();
    case Kind::Undefined:
      break;
    case Kind::Text: {
      const MarkedText& text = value.as_text();
      runtime.check_items(text.size());
      const auto starts = character_starts(text.bytes());
      for (size_t i = 0; i + 1 < starts.size(); ++i)
        items.push_back(runtime.text(text.slice(starts[i], starts[i + 1])));
      break;
    }
    case Kind::Dict:
      for (const auto& entry : value.as_dict().entries) items.push_back(entry.first);
      break;
    case Kind::Iterator: {
      Iterator& iterator = value.as_iterator();
      const size_t from = std::exchange(iterator.next, iterator.list->items.size());
      if (from == 0) return iterator.list;
      items.assign(iterator.list->items.begin() + static_cast<std::ptrdiff_t>(from), iterator.list->items.end());
      break;
    }
    default:
      fail("a {} cannot be walked over", type_name(value));
  }
  return runtime.list(std::move(items)).list_pointer();
}

}  // namespace thinktune::text::jinja
