#include "text/jinja_runtime.h"

#include <algorithm>

#include "text/jinja_scope.h"

namespace thinktune::text::jinja {

// A namespace that holds itself, a macro in the scope that it closes over: such cycles can only pass through what is
// emptied here. Emptying one object at a time also keeps a long chain of them from being destroyed by recursion.
Runtime::~Runtime() {
  for (const auto& space : namespaces_) space->attributes.clear();
  for (const auto& scope : scopes_) scope->variables.clear();
  for (const auto& loop : loops_) loop->changed_value = Value();
  for (const auto& state : states_) state->items.clear();
}

void Runtime::too_many_steps() const {
  fail("the template takes more than {} steps: does it loop without end?", limits_.steps);
}

void Runtime::check_text(size_t bytes) {
  if (bytes > static_cast<size_t>(limits_.output_bytes))
    fail("a string of {} bytes is longer than the limit of {}", bytes, limits_.output_bytes);
}

void Runtime::check_output(size_t bytes) {
  if (bytes > static_cast<size_t>(limits_.output_bytes))
    fail("the template prints more than the limit of {} bytes", limits_.output_bytes);
}

void Runtime::check_items(size_t items) {
  if (items > static_cast<size_t>(limits_.memory_bytes) / sizeof(Value))
    fail("a list of {} items takes more than the limit of {} bytes", items, limits_.memory_bytes);
  charge(items);
}

void Runtime::take_memory(size_t bytes) {
  // Before memory_ is raised: the object that asks will not give back what it did not get.
  if (bytes > static_cast<size_t>(limits_.memory_bytes - memory_))
    fail("the template's values take more than the limit of {} bytes", limits_.memory_bytes);
  memory_ += static_cast<int64_t>(bytes);
}

Value Runtime::text(MarkedText text) {
  charge(1 + text.size() / 32);
  check_text(text.size());
  auto object = std::make_shared<Text>(std::move(text));
  object->count(*this, object->text.memory_bytes());
  return Value::object(std::shared_ptr<const Text>(std::move(object)));
}

Value Runtime::list(std::vector<Value> items, List::Flavor flavor) {
  check_items(items.size());
  auto object = std::make_shared<List>();
  object->items = std::move(items);
  object->flavor = flavor;
  for (const Value& value : object->items) object->depth = std::max(object->depth, 1 + depth_of(value));
  if (object->depth > kMaxValueDepth) fail("values are nested more than {} deep", kMaxValueDepth);
  object->count(*this, sizeof(List) + object->items.capacity() * sizeof(Value));
  return Value::object(std::shared_ptr<const List>(std::move(object)));
}

namespace {
bool may_be_key(const Value& value) {
  if (value.is(Kind::List))
    return value.as_list().is_tuple() &&
           std::all_of(value.as_list().items.begin(), value.as_list().items.end(), may_be_key);
  return !value.is(Kind::Dict);
}
}  // namespace

Value Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  check_items(2 * entries.size());
  auto object = std::make_shared<Dict>();
  object->entries.reserve(entries.size());
  for (auto& [key, value] : entries) {
    if (!may_be_key(key)) fail("a {} cannot be a key", type_name(key));
    charge(object->entries.size() / 4);
    object->depth = std::max({object->depth, 1 + depth_of(value), 1 + depth_of(key)});
    if (const Value* known = object->find(key)) {
      const_cast<Value&>(*known) = std::move(value);  // the dict is still ours alone
    } else {
      object->entries.emplace_back(std::move(key), std::move(value));
    }
  }
  if (object->depth > kMaxValueDepth) fail("values are nested more than {} deep", kMaxValueDepth);
  object->count(*this, sizeof(Dict) + object->entries.capacity() * 2 * sizeof(Value));
  return Value::object(std::shared_ptr<const Dict>(std::move(object)));
}

Value Runtime::iterator(std::vector<Value> items) {
  auto object = std::make_shared<Iterator>();
  object->list = list(std::move(items)).list_pointer();
  return Value::object(std::move(object));
}

Value Runtime::make_namespace() {
  take_memory(sizeof(Namespace));  // kept to the end of the run
  namespaces_.push_back(std::make_shared<Namespace>());
  return Value::object(namespaces_.back());
}

Value Runtime::method(std::string_view name, Function function, Value self) {
  auto callable = std::make_shared<Callable>();
  callable->name = name;
  callable->function = function;
  callable->self = std::move(self);
  return Value::object(std::shared_ptr<const Callable>(std::move(callable)));
}

Parameters::Parameters(std::string_view function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t num_required)
    : function_(function) {
  std::copy(names.begin(), names.end(), names_);
  if (arguments.positional.size() > names.size())
    fail("'{}' takes at most {} arguments, not {}", function, names.size(), arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto at = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (at == names.size()) fail("'{}' has no argument '{}'", function, name);
    if (values_[at] != nullptr) fail("'{}' is given '{}' twice", function, name);
    values_[at] = &value;
  }
  for (size_t i = 0; i < num_required; ++i)
    if (values_[i] == nullptr) fail("'{}' needs an argument '{}'", function, names_[i]);
}

int64_t Parameters::integer(size_t i) const {
  if (!values_[i]->is_integral())
    fail("'{}' needs an integer as '{}', not {}", function_, names_[i], type_name(*values_[i]));
  return values_[i]->as_integer();
}

const MarkedText& Parameters::text(size_t i) const {
  if (!values_[i]->is_text()) fail("'{}' needs a string as '{}', not {}", function_, names_[i], type_name(*values_[i]));
  return values_[i]->as_text();
}

const MarkedText& require_text(std::string_view function, const Value& value) {
  if (value.is_undefined()) fail("{}", explain(value.as_undefined()));
  if (!value.is_text()) fail("'{}' needs a string, not {}", function, type_name(value));
  return value.as_text();
}

int64_t require_integer(std::string_view function, const Value& value) {
  if (value.is_undefined()) fail("{}", explain(value.as_undefined()));
  if (!value.is_integral()) fail("'{}' needs an integer, not {}", function, type_name(value));
  return value.as_integer();
}

}  // namespace thinktune::text::jinja
