#include "text/jinja_value.h"

#include <algorithm>

#include "text/jinja_runtime.h"

namespace thinktune::text::jinja {

Counted::~Counted() {
  if (runtime_ != nullptr) runtime_->give_memory(bytes_);
}

void Counted::count(Runtime& runtime, size_t bytes) {
  runtime.take_memory(bytes);
  runtime_ = &runtime;
  bytes_ = bytes;
}

bool Value::same_object(const Value& other) const {
  if (kind() != other.kind()) return false;
  return std::visit(
      [&](const auto& mine) {
        using T = std::decay_t<decltype(mine)>;
        if constexpr (std::is_same_v<T, Undefined> || std::is_same_v<T, None>) {
          return true;
        } else {
          return mine == std::get<T>(other.data_);
        }
      },
      data_);
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries)
    if (name.is_text() && name.bytes() == key) return &value;
  return nullptr;
}

namespace {
// Keys are scalars or tuples of keys.
bool same_key(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_double() == b.as_double();
  if (a.kind() != b.kind()) return false;
  if (a.is_text()) return a.bytes() == b.bytes();
  if (!a.is(Kind::List)) return a.same_object(b);
  return std::equal(a.as_list().items.begin(), a.as_list().items.end(), b.as_list().items.begin(),
                    b.as_list().items.end(), same_key);
}
}  // namespace

const Value* Dict::find(const Value& key) const {
  if (key.is_text()) return find(key.bytes());
  for (const auto& [name, value] : entries)
    if (same_key(name, key)) return &value;
  return nullptr;
}

Value* Namespace::find(std::string_view name) {
  for (auto& [attribute, value] : attributes)
    if (attribute == name) return &value;
  return nullptr;
}

const char* type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
      return "Undefined";
    case Kind::None:
      return "None";
    case Kind::Bool:
      return "bool";
    case Kind::Int:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::Text:
      return "str";
    case Kind::Dict:
      return "dict";
    case Kind::Iterator:
      return "generator";
    case Kind::Namespace:
      return "namespace";
    case Kind::Loop:
      return "loop";
    case Kind::State:
      return value.as_state().type == State::Type::Cycler ? "cycler" : "joiner";
    case Kind::Callable:
      return value.as_callable().macro != nullptr ? "macro" : "function";
    case Kind::List:
      break;
  }
  switch (value.as_list().flavor) {
    case List::Flavor::List:
      return "list";
    case List::Flavor::Range:
      return "range";
    case List::Flavor::Keys:
      return "dict_keys";
    case List::Flavor::Values:
      return "dict_values";
    case List::Flavor::Items:
      return "dict_items";
    default:
      return "tuple";
  }
}

int depth_of(const Value& value) {
  if (value.is(Kind::List)) return value.as_list().depth;
  if (value.is(Kind::Dict)) return value.as_dict().depth;
  if (value.is(Kind::Iterator)) return value.as_iterator().list->depth;
  if (value.is(Kind::Loop)) return 1 + value.as_loop()->list->depth;
  // A method holds the value that it is of.
  if (value.is(Kind::Callable)) return 1 + depth_of(value.as_callable().self);
  return 0;
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
    case Kind::None:
      return false;
    case Kind::Bool:
    case Kind::Int:
      return value.as_integer() != 0;
    case Kind::Float:
      return value.as_double() != 0;
    case Kind::Text:
      return !value.as_text().empty();
    case Kind::List:
      return !value.as_list().items.empty();
    case Kind::Dict:
      return !value.as_dict().entries.empty();
    default:
      return true;
  }
}

std::string explain(const Undefined& undefined) {
  if (undefined.name == nullptr)
    return fmt::format("{} has no element under that key", undefined.owner ? undefined.owner : "the value");
  if (undefined.owner == nullptr) return fmt::format("'{}' is undefined", *undefined.name);
  return fmt::format("'{}' has no attribute '{}'", undefined.owner, *undefined.name);
}

}  // namespace thinktune::text::jinja
