// Answers as trees. Both sides of a comparison live in one Expressions, so that a symbol has one number in both.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reward/decimal.h"

namespace thinktune::reward {

using NodeId = uint32_t;
inline constexpr NodeId kNoNode = UINT32_MAX;

enum class Kind : uint8_t {
  // One quantity.
  Number,  // detail: index of the decimal
  Symbol,  // detail: index of the name
  Pi,
  Euler,
  Imaginary,
  Infinity,
  Sum,       // of the children; detail: 1 for one number: a mixed one, or one with repeating digits
  Product,   // of the children; detail: 1 if written with a sign between them, 2 for "5 million"
  Quotient,  // first / second
  Negative,
  Power,     // first ^ second
  Root,      // the second-th root of the first; real where the first is real and the second odd
  Function,  // detail: Fn; of the children
  Factorial,
  PlusMinus,  // ± child
  MinusPlus,
  Opaque,  // detail: name; something that is only ever equal to itself of equal parts: an integral, a limit
  // A quantity as written.
  Quantity,  // child with the unit `detail` (index of the name)
  Percent,   // child %
  Based,     // detail: name, the digits; the base is the child
  // More than one.
  Tuple,     // ( … ), or \langle … \rangle
  Interval,  // two ends; detail: kClosedLeft, kClosedRight. (a, b) is a Tuple
  Bracket,   // [ … ] of any number of elements but two
  Set,       // { … }
  List,      // a, b and c; detail: 1 if joined by "or"
  Ratio,     // a : b : …
  Matrix,    // detail: number of columns; children row by row
  Union,
  Intersection,
  Difference,
  NumberSet,  // detail: name: R, Z, …
  EmptySet,
  // Statements.
  Relation,  // children are the sides; detail: first of their operators in relations()
};

inline constexpr uint32_t kClosedLeft = 1, kClosedRight = 2;

enum class Fn : uint32_t {
  Sin,
  Cos,
  Tan,
  Cot,
  Sec,
  Csc,
  Arcsin,
  Arccos,
  Arctan,
  Arccot,
  Sinh,
  Cosh,
  Tanh,
  Ln,   // of the first child
  Log,  // of the first child to the base of the second
  Exp,
  Abs,
  Floor,
  Ceil,
  Binomial,  // (n, k)
  Max,
  Min,
  Gcd,
  Lcm,
};

enum class Relate : uint8_t { Equal, Unequal, Less, LessEqual, Greater, GreaterEqual, In, Approximately };

struct Node {
  Kind kind = Kind::Number;
  bool has_symbol = false;  // anywhere in it
  bool has_imaginary = false;
  bool has_sign = false;  // a ± anywhere in it
  uint16_t depth = 0;     // levels of children
  uint32_t detail = 0;
  uint32_t first = 0;  // child
  uint32_t count = 0;  // of children
};

class Expressions {
 public:
  static constexpr size_t kMaxNodes = 1 << 18;
  static constexpr uint16_t kMaxDepth = 300;  // what reads a tree may recurse

  // kNoNode if a child is, or if there is no room left. `children` may not be a span into this object.
  NodeId add(Kind kind, std::span<const NodeId> children, uint32_t detail = 0);
  NodeId add(Kind kind, std::initializer_list<NodeId> children, uint32_t detail = 0) {
    return add(kind, std::span<const NodeId>(children.begin(), children.size()), detail);
  }
  NodeId add_number(Decimal number);
  NodeId add_integer(uint64_t value);
  NodeId add_symbol(std::string_view name) { return add(Kind::Symbol, {}, name_index(name)); }
  NodeId add_function(Fn fn, std::initializer_list<NodeId> arguments) {
    return add(Kind::Function, arguments, static_cast<uint32_t>(fn));
  }
  NodeId add_relation(std::span<const NodeId> sides, std::span<const Relate> operators);

  const Node& operator[](NodeId id) const { return nodes_[id]; }
  Kind kind(NodeId id) const { return nodes_[id].kind; }
  NodeId child(NodeId id, size_t i) const { return children_[nodes_[id].first + i]; }
  std::span<const NodeId> children(NodeId id) const {
    return std::span(children_).subspan(nodes_[id].first, nodes_[id].count);
  }
  const Decimal& number(NodeId id) const { return numbers_[nodes_[id].detail]; }
  const std::string& name(NodeId id) const { return names_[nodes_[id].detail]; }
  std::span<const Relate> relations(NodeId id) const {
    return std::span(relations_).subspan(nodes_[id].detail, nodes_[id].count - 1);
  }
  Fn function(NodeId id) const { return static_cast<Fn>(nodes_[id].detail); }

  uint32_t name_index(std::string_view name);
  size_t num_names() const { return names_.size(); }
  size_t size() const { return nodes_.size(); }
  bool full() const { return full_; }

 private:
  std::vector<Node> nodes_;
  std::vector<NodeId> children_;
  std::vector<Decimal> numbers_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, uint32_t> indices_;
  std::vector<Relate> relations_;
  bool full_ = false;
};

// What a comparison may cost. One step is about the work of one operation on numbers of 64 decimal digits.
class Budget {
 public:
  explicit Budget(int64_t steps) : left_(steps) {}
  // False, from now on, once the steps are spent.
  bool spend(int64_t steps) {
    left_ = steps > left_ ? -1 : left_ - steps;
    return left_ >= 0;
  }
  bool spent() const { return left_ < 0; }

 private:
  int64_t left_;
};

}  // namespace thinktune::reward
