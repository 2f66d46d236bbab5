// Jinja's filters of lists and dicts. Those that are generators in Jinja give iterators here too: a generator is true
// even when it is empty, and templates ask.
#include <algorithm>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {

Value deep_attribute(Runtime& runtime, const Value& object, const Value& path, const Value& otherwise) {
  const auto found_or = [&](Value found) {
    return found.is_undefined() && !otherwise.is_none() ? otherwise : std::move(found);
  };
  if (!path.is_text()) return found_or(item(runtime, object, path));
  Value at = object;
  const std::string& bytes = path.bytes();
  for (size_t begin = 0; begin <= bytes.size();) {
    const size_t end = std::min(bytes.find('.', begin), bytes.size());
    const std::string part = bytes.substr(begin, end - begin);
    const bool is_index =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
    at = found_or(item(runtime, at, is_index ? Value::integer(std::stoll(part)) : runtime.text(part, Mark::Template)));
    begin = end + 1;
  }
  return at;
}

namespace {

// What things are compared by: an attribute of them if one is named, and text without case unless told.
Value sort_key(Runtime& runtime, const Value& value, const Value& attribute, bool case_sensitive) {
  Value key = attribute.is_none() ? value : deep_attribute(runtime, value, attribute);
  if (case_sensitive || !key.is_text()) return key;
  return runtime.text(map_characters(key.as_text(), append_lower));
}

using Keyed = std::vector<std::pair<Value, Value>>;  // key, value

Keyed with_keys(Runtime& runtime, const Value& self, const Value& attribute, bool case_sensitive) {
  const auto list = items_of(runtime, self);
  runtime.check_items(2 * list->items.size());
  Keyed all;
  for (const Value& value : list->items) all.emplace_back(sort_key(runtime, value, attribute, case_sensitive), value);
  return all;
}

void sort_by_key(Runtime& runtime, Keyed& all, bool reverse) {
  std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(runtime, b.first, a.first) == -1 : compare(runtime, a.first, b.first) == -1;
  });
}

std::vector<Value> values_of(Keyed all) {
  std::vector<Value> values;
  values.reserve(all.size());
  for (auto& entry : all) values.push_back(std::move(entry.second));
  return values;
}

Value length(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("length", arguments, {});
  switch (self.kind()) {
    case Kind::Undefined:
      return Value::integer(0);
    case Kind::Text:
      runtime.charge(self.as_text().size() / 32);
      return Value::integer(static_cast<int64_t>(num_characters(self.bytes())));
    case Kind::List:
      return Value::integer(static_cast<int64_t>(self.as_list().items.size()));
    case Kind::Dict:
      return Value::integer(static_cast<int64_t>(self.as_dict().entries.size()));
    case Kind::Iterator:
      fail("a generator has no length: use |list first");
    default:
      fail("a {} has no length", type_name(self));
  }
}

Value join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("join", arguments, {"d", "attribute"});
  const MarkedText between = p.has(0) ? to_text(runtime, p[0]) : MarkedText();
  const Value attribute = p.value_or(1, Value::none());
  MarkedText all;
  bool is_first = true;
  const auto list = items_of(runtime, self);
  for (const Value& value : list->items) {
    if (!is_first) all.append(between);
    is_first = false;
    all.append(to_text(runtime, attribute.is_none() ? value : deep_attribute(runtime, value, attribute)));
    runtime.charge(1 + between.size() / 32);
    runtime.check_text(all.size());
  }
  return runtime.text(std::move(all));
}

Value first(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("first", arguments, {});
  if (self.is(Kind::Iterator)) {
    Iterator& iterator = self.as_iterator();
    if (iterator.next >= iterator.list->items.size()) return Value::undefined(nullptr, "generator");
    return iterator.list->items[iterator.next++];
  }
  const auto list = items_of(runtime, self);
  return list->items.empty() ? Value::undefined(nullptr, type_name(self)) : list->items.front();
}

Value last(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("last", arguments, {});
  if (self.is(Kind::Iterator)) fail("a generator has no last item: use |list first");
  const auto list = items_of(runtime, self);
  return list->items.empty() ? Value::undefined(nullptr, type_name(self)) : list->items.back();
}

Value list(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("list", arguments, {});
  const auto walked = items_of(runtime, self);
  return runtime.list(walked->items);
}

Value reverse(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("reverse", arguments, {});
  const auto list = items_of(runtime, self);
  if (!self.is_text()) return runtime.iterator({list->items.rbegin(), list->items.rend()});
  MarkedText reversed;
  for (auto character = list->items.rbegin(); character != list->items.rend(); ++character)
    reversed.append(character->as_text());
  return runtime.text(std::move(reversed));
}

std::vector<Value> pairs_of(Runtime& runtime, const Dict& dict) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.entries) pairs.push_back(runtime.list({key, value}, List::Flavor::Tuple));
  return pairs;
}

Value items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("items", arguments, {});
  if (self.is_undefined()) return runtime.iterator({});
  if (!self.is(Kind::Dict)) fail("'items' needs a dict, not {}", type_name(self));
  return runtime.iterator(pairs_of(runtime, self.as_dict()));
}

Value dictsort(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (!self.is(Kind::Dict)) fail("'dictsort' needs a dict, not {}", type_name(self));
  const std::string by = p.has(1) ? p.text(1).bytes() : "key";
  if (by != "key" && by != "value") fail("'dictsort' sorts by key or by value, not by '{}'", by);
  const Value pairs = runtime.list(pairs_of(runtime, self.as_dict()));
  auto all = with_keys(runtime, pairs, Value::integer(by == "key" ? 0 : 1), p.boolean_or(0, false));
  sort_by_key(runtime, all, p.boolean_or(2, false));
  return runtime.list(values_of(std::move(all)));
}

Value sum(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("sum", arguments, {"attribute", "start"});
  const Value attribute = p.value_or(0, Value::none());
  Value total = p.value_or(1, Value::integer(0));
  const auto list = items_of(runtime, self);
  for (const Value& value : list->items)
    total = arithmetic(runtime, Operator::Add, total,
                       attribute.is_none() ? value : deep_attribute(runtime, value, attribute));
  return total;
}

template <bool kMax>
Value extreme(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p(kMax ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const auto all = with_keys(runtime, self, p.value_or(1, Value::none()), p.boolean_or(0, false));
  if (all.empty()) return Value::undefined(nullptr, type_name(self));
  const std::pair<Value, Value>* best = &all.front();
  for (const auto& entry : all)
    if (compare(runtime, entry.first, best->first) == (kMax ? 1 : -1)) best = &entry;
  return best->second;
}

Value sort(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool reverse = p.boolean_or(0, false), case_sensitive = p.boolean_or(1, false);
  Value attribute = p.value_or(2, Value::none());
  // "a,b" sorts by a, then by b.
  if (attribute.is_text() && attribute.bytes().find(',') != std::string::npos) {
    Value sorted = self;
    const MarkedText& names = attribute.as_text();
    for (size_t end = names.size(); end != std::string::npos;) {
      const size_t comma = end == 0 ? std::string::npos : names.bytes().rfind(',', end - 1);
      const size_t begin = comma == std::string::npos ? 0 : comma + 1;
      auto all = with_keys(runtime, sorted, runtime.text(names.slice(begin, end)), case_sensitive);
      sort_by_key(runtime, all, reverse);
      sorted = runtime.list(values_of(std::move(all)));
      end = comma;
    }
    return sorted;
  }
  auto all = with_keys(runtime, self, attribute, case_sensitive);
  sort_by_key(runtime, all, reverse);
  return runtime.list(values_of(std::move(all)));
}

Value unique(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("unique", arguments, {"case_sensitive", "attribute"});
  Keyed all = with_keys(runtime, self, p.value_or(1, Value::none()), p.boolean_or(0, false));
  Keyed kept;
  for (auto& entry : all) {
    const bool is_known =
        std::any_of(kept.begin(), kept.end(), [&](const auto& k) { return equal(runtime, k.first, entry.first); });
    if (!is_known) kept.push_back(std::move(entry));
  }
  return runtime.iterator(values_of(std::move(kept)));
}

Value groupby(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const bool case_sensitive = p.boolean_or(2, false);
  const Value otherwise = p.value_or(1, Value::none());
  const auto list = items_of(runtime, self);
  Keyed all;
  for (const Value& value : list->items) {
    Value key = deep_attribute(runtime, value, p[0], otherwise);
    all.emplace_back(sort_key(runtime, key, Value::none(), case_sensitive), value);
  }
  sort_by_key(runtime, all, false);
  std::vector<Value> groups;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    std::vector<Value> group;
    for (end = begin; end < all.size() && equal(runtime, all[begin].first, all[end].first); ++end)
      group.push_back(all[end].second);
    // A group goes by its first member's own spelling.
    Value name = deep_attribute(runtime, group.front(), p[0], otherwise);
    groups.push_back(runtime.list({std::move(name), runtime.list(std::move(group))}, List::Flavor::Group));
  }
  return runtime.list(std::move(groups));
}

Value batch(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("batch", arguments, {"linecount", "fill_with"}, 1);
  const auto list = items_of(runtime, self);
  if (p.integer(0) < 1) fail("'batch' needs a size of at least 1");
  const auto size = static_cast<size_t>(p.integer(0));
  std::vector<Value> batches;
  for (size_t begin = 0; begin < list->items.size(); begin += std::min(size, list->items.size() - begin)) {
    const size_t end = begin + std::min(size, list->items.size() - begin);
    std::vector<Value> one(list->items.begin() + static_cast<std::ptrdiff_t>(begin),
                           list->items.begin() + static_cast<std::ptrdiff_t>(end));
    if (p.has(1) && !p[1].is_none() && one.size() < size) {
      runtime.check_items(size);
      one.resize(size, p[1]);
    }
    batches.push_back(runtime.list(std::move(one)));
  }
  return runtime.iterator(std::move(batches));
}

Value slice_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters p("slice", arguments, {"slices", "fill_with"}, 1);
  const auto list = items_of(runtime, self);
  if (p.integer(0) < 1) fail("'slice' needs a number of at least 1");
  const auto num_slices = static_cast<size_t>(p.integer(0));
  runtime.check_items(num_slices);
  const size_t each = list->items.size() / num_slices, num_longer = list->items.size() % num_slices;
  std::vector<Value> slices;
  size_t begin = 0;
  for (size_t i = 0; i < num_slices; ++i) {
    const size_t end = begin + each + (i < num_longer ? 1 : 0);
    std::vector<Value> one(list->items.begin() + static_cast<std::ptrdiff_t>(begin),
                           list->items.begin() + static_cast<std::ptrdiff_t>(end));
    if (p.has(1) && !p[1].is_none() && i >= num_longer) one.push_back(p[1]);
    slices.push_back(runtime.list(std::move(one)));
    begin = end;
  }
  return runtime.iterator(std::move(slices));
}

constexpr NamedFunction kFilters[] = {
    {"batch", batch},     {"count", length},       {"dictsort", dictsort}, {"first", first},
    {"groupby", groupby}, {"items", items},        {"join", join},         {"last", last},
    {"length", length},   {"list", list},          {"max", extreme<true>}, {"min", extreme<false>},
    {"reverse", reverse}, {"slice", slice_filter}, {"sort", sort},         {"sum", sum},
    {"unique", unique},
};

}  // namespace

Function find_list_filter(std::string_view name) {
  for (const auto& filter : kFilters)
    if (filter.name == name) return filter.function;
  return nullptr;
}

}  // namespace thinktune::text::jinja
