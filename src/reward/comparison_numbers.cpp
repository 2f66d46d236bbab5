// Which answers are numbers as they stand, and which leave something to calculate.
#include <algorithm>

#include "reward/comparison.h"

namespace thinktune::reward {

// 42, 4.2, -\frac{3}{4}, 2\frac{1}{2}, 0.\overline{3}, 4.2 \cdot 10^5, 42\%, 42 cm, 101_2, \pm 3, infinity, and words.
// Not \frac{84}{2}, which is 42; no sums, products, powers, roots and functions.
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
      return tree_[id].count == 2 && tree_.kind(tree_.child(id, 0)) == Kind::Number &&
             tree_.kind(tree_.child(id, 1)) == Kind::Power && is_number(tree_.child(id, 1));
    case Kind::Power:
      return tree_.kind(tree_.child(id, 0)) == Kind::Number &&
             tree_.number(tree_.child(id, 0)) == Decimal{false, "1", 1} && is_integer(tree_.child(id, 1));
    case Kind::Quotient: {
      if (!is_integer(tree_.child(id, 0)) || !is_integer(tree_.child(id, 1))) return false;
      const Rational* value = exact_.value(id);
      return value == nullptr || denominator(*value) != 1;
    }
    default:
      return is_word(id);
  }
}

// A number, or numbers in a list, an interval, a matrix, …; of a statement, such that what is not is a name: x = 42,
// 6 \cdot 7 = 42, x < 42.
bool Comparison::is_numbers(NodeId id) {
  const auto children = tree_.children(id);
  const Kind kind = tree_.kind(id);
  if (kind < Kind::Tuple) return is_number(id);
  if (kind != Kind::Relation)
    return std::all_of(children.begin(), children.end(), [&](NodeId c) { return is_numbers(c); });
  return std::any_of(children.begin(), children.end(), [&](NodeId c) { return is_numbers(c); }) &&
         std::all_of(children.begin(), children.end(), [&](NodeId c) { return !tree_[c].has_symbol || is_name(c); });
}

}  // namespace thinktune::reward
