// Which answers are numbers as they stand, and which leave something to calculate.
#include <algorithm>

#include "reward/comparison.h"

namespace thinktune::reward {

// 42, 4.2, -\frac{3}{4}, 2\frac{1}{2}, 0.\overline{3}, 4.2 \cdot 10^5, 42\%, 42 cm, 42 million, 101_2, \pm 3, infinity,
// and words. Not \frac{84}{2}, which is 42; no sums, products, powers, roots and functions.
bool Comparison::is_number(NodeId id) {
  const auto is_integer = [&](NodeId of) {
    if (tree_.kind(of) == Kind::Negative) of = tree_.child(of, 0);
    return tree_.kind(of) == Kind::Number && tree_.number(of).exponent >= 0;
  };
  switch (tree_.kind(id)) {
    case Kind::Number:
    case Kind::Based:
    case Kind::Infinity:
      return true;
    case Kind::Negative:
    case Kind::PlusMinus:
    case Kind::MinusPlus:
    case Kind::Percent:
    case Kind::Quantity:
      return is_number(tree_.child(id, 0));
    case Kind::Sum:
      return tree_[id].detail == 1;
    case Kind::Product:
      if (tree_[id].detail == 2) return is_number(tree_.child(id, 0));
      return tree_[id].count == 2 && tree_.kind(tree_.child(id, 0)) == Kind::Number &&
             tree_.kind(tree_.child(id, 1)) == Kind::Power && is_number(tree_.child(id, 1));
    case Kind::Power:
      return tree_.kind(tree_.child(id, 0)) == Kind::Number &&
             tree_.number(tree_.child(id, 0)) == Decimal{false, "1", 1} && is_integer(tree_.child(id, 1));
    case Kind::Quotient: {
      if (!is_integer(tree_.child(id, 0)) || !is_integer(tree_.child(id, 1))) return false;
      const Rational* value = exact_.value(id);
      return value != nullptr && denominator(*value) != 1;
    }
    default:
      return is_word(id);
  }
}

// A matrix of numbers, also with a number before or under it: \frac{1}{5} \begin{pmatrix} 1 \\ 2 \end{pmatrix}.
bool Comparison::is_number_matrix(NodeId id) {
  const auto children = tree_.children(id);
  switch (tree_.kind(id)) {
    case Kind::Matrix:
      return std::all_of(children.begin(), children.end(), [&](NodeId c) { return is_number(c); });
    case Kind::Negative:
      return is_number_matrix(children[0]);
    case Kind::Product:
      return children.size() == 2 && is_number(children[0]) && is_number_matrix(children[1]);
    case Kind::Quotient:
      return is_number_matrix(children[0]) && is_number(children[1]);
    default:
      return false;
  }
}

// x = 42, x = 6 \cdot 7 = 42, A = s^2 = 42, 6 \cdot 7 = 42: one side is the number. Not 2x = 84, where a side is
// neither name nor number; in x < 42 every side is one of them.
bool Comparison::is_number_statement(NodeId id) {
  const auto sides = tree_.children(id);
  const auto relations = tree_.relations(id);
  const auto names = [&](NodeId side) { return is_name(side); };
  const auto numbers = [&](NodeId side) { return !is_name(side) && is_numbers(side); };
  if (std::none_of(sides.begin(), sides.end(), numbers)) return false;
  const bool equalities = std::all_of(relations.begin(), relations.end(),
                                      [](Relate r) { return r == Relate::Equal || r == Relate::Approximately; });
  if (!equalities)
    return std::all_of(sides.begin(), sides.end(), [&](NodeId side) { return names(side) || numbers(side); });
  return names(sides.front()) ||
         std::all_of(sides.begin(), sides.end(), [&](NodeId side) { return !tree_[side].has_symbol || names(side); });
}

// A number, or numbers in a list, an interval, a matrix, or a statement.
bool Comparison::is_numbers(NodeId id) {
  const Kind kind = tree_.kind(id);
  if (kind == Kind::Relation) return is_number_statement(id);
  if (kind < Kind::Tuple) return is_number(id) || is_number_matrix(id);
  const auto children = tree_.children(id);
  return std::all_of(children.begin(), children.end(), [&](NodeId c) { return is_numbers(c); });
}

}  // namespace thinktune::reward
