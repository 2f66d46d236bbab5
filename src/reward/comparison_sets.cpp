// Sets of real numbers: intervals, unions, inequalities. All are brought to a list of stretches of the real line that
// are sorted and do not touch.
#include <algorithm>
#include <limits>

#include "reward/comparison.h"

namespace thinktune::reward {
namespace {

using rollout::Verdict;

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr size_t kMaxPieces = 200;

bool is_order(Relate r) {
  return r == Relate::Less || r == Relate::LessEqual || r == Relate::Greater || r == Relate::GreaterEqual;
}
bool is_less(Relate r) { return r == Relate::Less || r == Relate::LessEqual; }
bool is_closed(Relate r) { return r == Relate::LessEqual || r == Relate::GreaterEqual; }

}  // namespace

// Whether only stretches of the real line can be meant.
bool Comparison::is_range(NodeId id) const {
  switch (tree_.kind(id)) {
    case Kind::Interval:
    case Kind::Union:
    case Kind::Intersection:
    case Kind::Difference:
    case Kind::NumberSet:
    case Kind::EmptySet:
      return true;
    case Kind::Relation: {
      const auto relations = tree_.relations(id);
      if (relations.size() == 1 && relations[0] == Relate::In) return is_range(tree_.child(id, 1));
      return std::all_of(relations.begin(), relations.end(), is_order) ||
             (relations.size() == 1 && relations[0] == Relate::Unequal);
    }
    case Kind::List: {
      const auto children = tree_.children(id);
      return std::all_of(children.begin(), children.end(),
                         [&](NodeId c) { return tree_.kind(c) == Kind::Relation && is_range(c); });
    }
    default:
      return false;
  }
}

bool Comparison::set_end(NodeId id, NodeId& end, double& value) {
  const int sign = infinity_sign(id);
  end = sign != 0 ? kNoNode : id;
  value = sign * kInfinite;
  return sign != 0 || identity_.approximate(id, value);
}

bool Comparison::add_piece(NodeId low, NodeId high, bool low_closed, bool high_closed, Pieces& pieces) {
  Piece piece{.low_closed = low_closed, .high_closed = high_closed};
  if (!set_end(low, piece.low, piece.low_value) || !set_end(high, piece.high, piece.high_value)) return false;
  // (5, 2) is a point, not an interval.
  if (!(piece.low_value <= piece.high_value) || pieces.size() >= kMaxPieces) return false;
  if (piece.low == kNoNode) piece.low_closed = false;
  if (piece.high == kNoNode) piece.high_closed = false;
  pieces.push_back(piece);
  return true;
}

// Negative, zero or positive as a is below, at or above b; exact where the values are close.
int Comparison::order(NodeId a, double a_value, NodeId b, double b_value) {
  if (a == kNoNode || b == kNoNode) return a_value < b_value ? -1 : a_value > b_value ? 1 : 0;
  if (std::fabs(a_value - b_value) > 1e-9 * (std::fabs(a_value) + std::fabs(b_value)))
    return a_value < b_value ? -1 : 1;
  if (identity_.equal(a, b) == Finding::Same) return 0;
  return a_value < b_value ? -1 : 1;
}

void Comparison::merge(Pieces& pieces) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.low_value < b.low_value; });
  Pieces merged;
  for (const Piece& piece : pieces) {
    if (!merged.empty()) {
      Piece& last = merged.back();
      const int gap = order(piece.low, piece.low_value, last.high, last.high_value);
      if (gap < 0 || (gap == 0 && (piece.low_closed || last.high_closed))) {
        if (order(piece.low, piece.low_value, last.low, last.low_value) == 0) last.low_closed |= piece.low_closed;
        const int reach = order(piece.high, piece.high_value, last.high, last.high_value);
        if (reach > 0) {
          last.high = piece.high;
          last.high_value = piece.high_value;
          last.high_closed = piece.high_closed;
        } else if (reach == 0) {
          last.high_closed |= piece.high_closed;
        }
        continue;
      }
    }
    merged.push_back(piece);
  }
  pieces = std::move(merged);
}

Comparison::Pieces Comparison::intersect(const Pieces& a, const Pieces& b) {
  Pieces result;
  for (const Piece& x : a)
    for (const Piece& y : b) {
      Piece piece = x;
      const int low = order(y.low, y.low_value, x.low, x.low_value);
      if (low > 0) piece.low = y.low, piece.low_value = y.low_value, piece.low_closed = y.low_closed;
      if (low == 0) piece.low_closed = x.low_closed && y.low_closed;
      const int high = order(y.high, y.high_value, x.high, x.high_value);
      if (high < 0) piece.high = y.high, piece.high_value = y.high_value, piece.high_closed = y.high_closed;
      if (high == 0) piece.high_closed = x.high_closed && y.high_closed;
      const int width = order(piece.high, piece.high_value, piece.low, piece.low_value);
      if (width > 0 || (width == 0 && piece.low_closed && piece.high_closed)) result.push_back(piece);
      if (result.size() >= kMaxPieces || !budget_.spend(1)) return result;
    }
  return result;
}

Comparison::Pieces Comparison::complement(const Pieces& sorted) {
  Pieces result;
  Piece rest{.low_value = -kInfinite, .high_value = kInfinite};
  bool is_open = true;
  for (const Piece& piece : sorted) {
    if (piece.low != kNoNode) {
      Piece before = rest;
      before.high = piece.low;
      before.high_value = piece.low_value;
      before.high_closed = !piece.low_closed;
      result.push_back(before);
    }
    is_open = piece.high != kNoNode;
    rest.low = piece.high;
    rest.low_value = piece.high_value;
    rest.low_closed = !piece.high_closed;
  }
  if (is_open) result.push_back(rest);
  return result;
}

// The variable that an inequality is about is given back: "x < 5" and "y < 5" are not the same.
bool Comparison::pieces_of(NodeId id, Pieces& pieces, NodeId& variable) {
  if (!budget_.spend(1)) return false;
  switch (tree_.kind(id)) {
    case Kind::Interval:
      return add_piece(tree_.child(id, 0), tree_.child(id, 1), tree_[id].detail & kClosedLeft,
                       tree_[id].detail & kClosedRight, pieces);
    case Kind::Tuple:
      return tree_[id].count == 2 && add_piece(tree_.child(id, 0), tree_.child(id, 1), false, false, pieces);
    case Kind::EmptySet:
      return true;
    case Kind::NumberSet:
      pieces.push_back({.low_value = -kInfinite, .high_value = kInfinite});
      return tree_.name(id) == "R";
    case Kind::Set:
      for (size_t i = 0; i < tree_[id].count; ++i)
        if (!add_piece(tree_.child(id, i), tree_.child(id, i), true, true, pieces)) return false;
      return true;
    case Kind::Relation:
      return pieces_of_relation(id, pieces, variable);
    case Kind::List:
      return pieces_of_list(id, pieces, variable);
    case Kind::Union:
    case Kind::Intersection:
    case Kind::Difference: {
      Pieces left, right;
      if (!pieces_of(tree_.child(id, 0), left, variable) || !pieces_of(tree_.child(id, 1), right, variable))
        return false;
      merge(left);
      merge(right);
      const Kind kind = tree_.kind(id);
      if (kind == Kind::Union) {
        pieces = std::move(left);
        pieces.insert(pieces.end(), right.begin(), right.end());
      } else {
        pieces = intersect(left, kind == Kind::Difference ? complement(right) : right);
      }
      return pieces.size() < kMaxPieces;
    }
    default:
      return false;
  }
}

// x < 5, 5 > x, 1 < x <= 2, x != 5, x \in [0, 1).
bool Comparison::pieces_of_relation(NodeId id, Pieces& pieces, NodeId& variable) {
  const std::vector<Relate> relations(tree_.relations(id).begin(), tree_.relations(id).end());
  const std::vector<NodeId> sides(tree_.children(id).begin(), tree_.children(id).end());
  size_t middle = sides.size();  // the side that is the variable
  for (size_t i = 0; i < sides.size(); ++i)
    if (is_name(sides[i]) && middle == sides.size()) middle = i;
  if (middle == sides.size() || sides.size() > 3 || (sides.size() == 3 && middle != 1)) return false;
  if (variable != kNoNode && !same_name(variable, sides[middle])) return false;
  variable = sides[middle];
  if (relations[0] == Relate::In) return middle == 0 && sides.size() == 2 && pieces_of(sides[1], pieces, variable);
  if (relations[0] == Relate::Unequal) {
    Pieces point;
    if (sides.size() != 2 || !add_piece(sides[1 - middle], sides[1 - middle], true, true, point)) return false;
    for (const Piece& piece : complement(point)) pieces.push_back(piece);
    return true;
  }
  if (!std::all_of(relations.begin(), relations.end(), is_order)) return false;
  if (sides.size() == 3) {
    if (is_less(relations[0]) != is_less(relations[1])) return false;
    const bool up = is_less(relations[0]);
    const size_t low = up ? 0 : 2, high = 2 - low;
    return add_piece(sides[low], sides[high], is_closed(relations[up ? 0 : 1]), is_closed(relations[up ? 1 : 0]),
                     pieces);
  }
  const NodeId end = sides[1 - middle];
  if (tree_.kind(variable) == Kind::Function && tree_.function(variable) == Fn::Abs) {
    // |x| < a is (-a, a), |x| > a what is outside.
    variable = tree_.child(variable, 0);
    const NodeId low = tree_.add(Kind::Negative, {end});
    if (tree_.kind(variable) != Kind::Symbol || low == kNoNode) return false;
    const bool inside = is_less(relations[0]) == (middle == 0);
    Pieces within;
    if (!add_piece(low, end, is_closed(relations[0]) == inside, is_closed(relations[0]) == inside, within))
      return false;
    pieces = inside ? within : complement(within);
    return true;
  }
  const NodeId infinity = tree_.add(Kind::Infinity, {});
  const NodeId minus = tree_.add(Kind::Negative, {infinity});
  if (minus == kNoNode) return false;
  const bool below = is_less(relations[0]) == (middle == 0);
  const bool closed = is_closed(relations[0]);
  return below ? add_piece(minus, end, false, closed, pieces) : add_piece(end, infinity, closed, false, pieces);
}

// "x < 1 or x > 5" is a union; "x > 1 and x < 5", or with a comma, is what both allow.
bool Comparison::pieces_of_list(NodeId id, Pieces& pieces, NodeId& variable) {
  const std::vector<NodeId> children(tree_.children(id).begin(), tree_.children(id).end());
  const bool is_or = tree_[id].detail != 0;
  Pieces all, any;
  for (size_t i = 0; i < children.size(); ++i) {
    Pieces one;
    if (!pieces_of(children[i], one, variable)) return false;
    merge(one);
    all = i == 0 ? one : intersect(all, one);
    any.insert(any.end(), one.begin(), one.end());
    if (any.size() > kMaxPieces) return false;
  }
  // "x < 1, x > 5": what cannot hold together is meant as alternatives.
  pieces = is_or || all.empty() || tree_.kind(children[0]) != Kind::Relation ? any : all;
  return true;
}

bool Comparison::compare_ranges(NodeId a, NodeId g, Ruling& ruling) {
  Pieces x, y;
  NodeId variable = kNoNode;
  NodeId gold_variable = kNoNode;
  if (!pieces_of(a, x, variable) || !pieces_of(g, y, gold_variable)) return false;
  if (!same_name(variable, gold_variable)) {
    ruling = {Verdict::Wrong, "a statement about another unknown than the gold answer's"};
    return true;
  }
  merge(x);
  merge(y);
  bool same = x.size() == y.size();
  for (size_t i = 0; same && i < x.size(); ++i)
    same = x[i].low_closed == y[i].low_closed && x[i].high_closed == y[i].high_closed &&
           order(x[i].low, x[i].low_value, y[i].low, y[i].low_value) == 0 &&
           order(x[i].high, x[i].high_value, y[i].high, y[i].high_value) == 0;
  ruling = same ? Ruling{Verdict::Right, "the same set of numbers"}
                : Ruling{Verdict::Wrong, "another set of numbers than the gold answer"};
  return true;
}

}  // namespace thinktune::reward
