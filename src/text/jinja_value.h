// The values of a template's run. Text, lists and dicts never change once made; a namespace does.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_text.h"

namespace thinktune::text::jinja {

class Runtime;
class Value;
struct List;
struct Dict;
struct Iterator;
struct Namespace;
struct Loop;
struct State;
struct Callable;
struct MacroNode;
struct Scope;
struct Stmt;

struct Undefined {
  const std::string* name = nullptr;  // the variable or attribute, a string of the parsed template; may be null
  const char* owner = nullptr;        // the type that has no such attribute; null: a variable
};
struct None {};

// Memory that a run answers for: given back when the object dies.
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted();
  void count(Runtime& runtime, size_t bytes);

 private:
  Runtime* runtime_ = nullptr;
  size_t bytes_ = 0;
};

struct Text : Counted {
  explicit Text(MarkedText t) : text(std::move(t)) {}
  MarkedText text;
};

enum class Kind { Undefined, None, Bool, Int, Float, Text, List, Dict, Iterator, Namespace, Loop, State, Callable };

class Value {
 public:
  Value() = default;
  static Value undefined(const std::string* name = nullptr, const char* owner = nullptr) {
    return Value(Undefined{name, owner});
  }
  static Value none() { return Value(None{}); }
  static Value boolean(bool b) { return Value(b); }
  static Value integer(int64_t i) { return Value(i); }
  static Value number(double d) { return Value(d); }
  template <class T>
  static Value object(std::shared_ptr<T> pointer) {
    return Value(std::move(pointer));
  }

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind k) const { return kind() == k; }
  bool is_undefined() const { return is(Kind::Undefined); }
  bool is_none() const { return is(Kind::None); }
  bool is_text() const { return is(Kind::Text); }
  bool is_integral() const { return is(Kind::Bool) || is(Kind::Int); }  // a bool counts as 0 or 1, as in Python
  bool is_number() const { return is_integral() || is(Kind::Float); }

  // Each for its kind alone.
  const Undefined& as_undefined() const { return std::get<Undefined>(data_); }
  int64_t as_integer() const { return is(Kind::Bool) ? std::get<bool>(data_) : std::get<int64_t>(data_); }
  double as_double() const { return is(Kind::Float) ? std::get<double>(data_) : static_cast<double>(as_integer()); }
  const MarkedText& as_text() const { return std::get<std::shared_ptr<const Text>>(data_)->text; }
  const std::string& bytes() const { return as_text().bytes(); }
  const List& as_list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Iterator& as_iterator() const { return *std::get<std::shared_ptr<Iterator>>(data_); }
  Namespace& as_namespace() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  const std::shared_ptr<Loop>& as_loop() const { return std::get<std::shared_ptr<Loop>>(data_); }
  State& as_state() const { return *std::get<std::shared_ptr<State>>(data_); }
  const Callable& as_callable() const { return *std::get<std::shared_ptr<const Callable>>(data_); }
  const std::shared_ptr<const List>& list_pointer() const { return std::get<std::shared_ptr<const List>>(data_); }

  bool same_object(const Value& other) const;  // Python's `is`

 private:
  using Data =
      std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>, std::shared_ptr<const List>,
                   std::shared_ptr<const Dict>, std::shared_ptr<Iterator>, std::shared_ptr<Namespace>,
                   std::shared_ptr<Loop>, std::shared_ptr<State>, std::shared_ptr<const Callable>>;
  template <class T>
  explicit Value(T data) : data_(std::move(data)) {}
  Data data_;
};

// A sequence. Python's kinds differ in how they print and compare, and in what may be done with them.
struct List : Counted {
  enum class Flavor { List, Tuple, Range, Keys, Values, Items, Group };
  std::vector<Value> items;
  Flavor flavor = Flavor::List;
  int depth = 1;  // 1 + that of the deepest item: bounded, so that recursion over a value is

  bool is_sequence() const { return flavor != Flavor::Keys && flavor != Flavor::Values && flavor != Flavor::Items; }
  bool is_tuple() const { return flavor == Flavor::Tuple || flavor == Flavor::Group; }
};

struct Dict : Counted {
  std::vector<std::pair<Value, Value>> entries;  // in the order of insertion, keys unique
  int depth = 1;

  const Value* find(std::string_view key) const;  // null if absent
  const Value* find(const Value& key) const;
};

// What `map`, `select` and their like give: walked once, always true, neither measured nor indexed.
struct Iterator {
  std::shared_ptr<const List> list;
  size_t next = 0;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
};

// The variable `loop` of a running for.
struct Loop {
  std::shared_ptr<const List> list;
  size_t index0 = 0;
  int depth = 1;
  bool is_filtered_lazily = false;  // the items behind this one are not known yet
  bool has_changed_value = false;
  Value changed_value;
  const Stmt* recursive = nullptr;  // the statement, while it runs and says `recursive`
  std::shared_ptr<Scope> scope;     // around it
};

// cycler() and joiner().
struct State {
  enum class Type { Cycler, Joiner };
  Type type = Type::Cycler;
  std::vector<Value> items;
  size_t next = 0;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Filters, tests (whose value is a bool), methods and global functions alike; `self` is what stands left of them.
using Function = Value (*)(Runtime& runtime, const Value& self, const Arguments& arguments);

struct Callable {
  std::string_view name;        // of a string with static lifetime or of the parsed template
  Function function = nullptr;  // a method or a global function …
  Value self;
  const MacroNode* macro = nullptr;  // … or a macro
  std::shared_ptr<Scope> scope;      // where it was defined
};

const char* type_name(const Value& value);  // Python's
int depth_of(const Value& value);           // 0 for what holds nothing
bool is_true(const Value& value);

// Why an undefined value is undefined: "'x' is undefined".
std::string explain(const Undefined& undefined);

}  // namespace thinktune::text::jinja
