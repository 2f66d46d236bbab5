// Statements and lists.
#include "reward/comparison.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

namespace thinktune::reward {
namespace {

using rollout::Verdict;

constexpr size_t kMaxItems = 2000;

bool is_equality(Relate relate) { return relate == Relate::Equal || relate == Relate::Approximately; }

}  // namespace

Ruling Comparison::compare(NodeId a, NodeId g) {
  const Ruling ruling = compare_values(a, g);
  if (ruling.verdict != Verdict::Right && (budget_.spent() || tree_.full()))
    return {Verdict::Unparsed, "too large to decide"};
  if (ruling.verdict == Verdict::Right && options_.worked_out && is_numbers(g) && !is_numbers(a))
    return {Verdict::Wrong, "a calculation with the gold answer's value, not worked out"};
  return ruling;
}

// What a left side may be, for its right side to be the answer: x, x_1, f(2), AB, |AB|, A:B, \frac{NO}{BO}, (p, q),
// \cos A, a limit, words; not 2x or a + b.
bool Comparison::is_name(NodeId id, int depth) {
  if (depth > 4) return false;
  const auto children = tree_.children(id);
  const auto all_names = [&] {
    return std::all_of(children.begin(), children.end(), [&](NodeId c) { return is_name(c, depth + 1); });
  };
  switch (tree_.kind(id)) {
    case Kind::Symbol:
    case Kind::Opaque:
      return true;
    case Kind::Quotient:
    case Kind::Ratio:
    case Kind::Tuple:
      return all_names();
    case Kind::Product:
      return all_names() || (tree_[id].detail == 0 && children.size() == 2 && tree_.kind(children[0]) == Kind::Symbol);
    case Kind::Function:
      return tree_.function(id) == Fn::Abs || tree_.function(id) <= Fn::Csc ? all_names() : false;
    default:
      return false;
  }
}

// "x = 5" and "5 = x" are 5 by the name of x, "x = y = 5" too; "10^3 = 1000" is 1000; "7 = 11a + c" remains what it is.
Comparison::Item Comparison::split_name(NodeId id) {
  if (tree_.kind(id) != Kind::Relation) return {kNoNode, id};
  const auto relations = tree_.relations(id);
  const NodeId first = tree_.child(id, 0), last = tree_.child(id, tree_[id].count - 1);
  if (relations.size() == 1 && relations[0] == Relate::In && is_name(first)) return {first, last};
  if (!std::all_of(relations.begin(), relations.end(), is_equality)) return {kNoNode, id};
  if (is_name(first)) return {first, last};
  if (relations.size() == 1 && tree_.kind(last) == Kind::Symbol && !tree_[first].has_symbol) return {last, first};
  if (!tree_[first].has_symbol && !tree_[last].has_symbol && identity_.equal(first, last) == Finding::Same)
    return {kNoNode, last};
  if (tree_.kind(first) == Kind::Opaque) return {first, last};
  return {kNoNode, id};
}

// "\frac13 \approx 0.333", "x = \sqrt3 \approx 1.73": a value, and what it is when rounded or cut. A plain number in
// front is no such value: "41 \approx 42" would be two answers.
bool Comparison::split_rounding(NodeId id, NodeId& exact, NodeId& rounded) {
  if (tree_.kind(id) != Kind::Relation) return false;
  const std::vector<Relate> relations(tree_.relations(id).begin(), tree_.relations(id).end());
  const std::vector<NodeId> sides(tree_.children(id).begin(), tree_.children(id).end());
  if (relations.back() != Relate::Approximately || !std::all_of(relations.begin(), relations.end(), is_equality))
    return false;
  const auto digits_of = [&](NodeId side) { return tree_.kind(side) == Kind::Negative ? tree_.child(side, 0) : side; };
  const NodeId value = sides[sides.size() - 2], digits = digits_of(sides.back());
  if (tree_.kind(digits) != Kind::Number || tree_.kind(digits_of(value)) == Kind::Number || tree_[value].has_symbol)
    return false;
  double v = 0, r = 0;
  if (!identity_.approximate(value, v) || !identity_.approximate(sides.back(), r)) return false;
  const int64_t exponent = tree_.number(digits).exponent;
  const double off = exponent < 0 ? std::pow(10.0, static_cast<double>(exponent)) : 0.5;
  if (!(std::abs(v - r) <= off)) return false;
  exact = sides.size() == 2 ? value
                            : tree_.add_relation(std::span(sides).first(sides.size() - 1),
                                                 std::span(relations).first(relations.size() - 1));
  rounded = sides.back();
  if (is_name(sides[0]))
    rounded = tree_.add_relation(std::vector{sides[0], sides.back()}, std::vector{Relate::Approximately});
  return true;
}

bool Comparison::same_name(NodeId a, NodeId b) {
  if (a == kNoNode || b == kNoNode || a == b) return true;
  if (tree_.kind(a) != tree_.kind(b) || tree_[a].count != tree_[b].count || tree_[a].detail != tree_[b].detail) {
    if (tree_.kind(a) != Kind::Number || tree_.kind(b) != Kind::Number) return false;
  }
  if (tree_.kind(a) == Kind::Number) return tree_.number(a) == tree_.number(b);
  for (size_t i = 0; i < tree_[a].count; ++i)
    if (!same_name(tree_.child(a, i), tree_.child(b, i))) return false;
  return true;
}

Ruling Comparison::compare_values(NodeId a, NodeId g) {
  if (!budget_.spend(1)) return {Verdict::Unparsed, "too large to decide"};
  NodeId exact = kNoNode, rounded = kNoNode;
  if (split_rounding(a, exact, rounded)) {
    const Ruling by_value = compare_values(exact, g);
    return by_value.verdict == Verdict::Right ? by_value : compare_values(rounded, g);
  }
  if (split_rounding(g, exact, rounded)) {
    const Ruling by_value = compare_values(a, exact);
    return by_value.verdict == Verdict::Right ? by_value : compare_values(a, rounded);
  }
  Ruling ruling;
  if ((is_range(a) || is_range(g)) && compare_ranges(a, g, ruling)) return ruling;
  const bool a_relation = tree_.kind(a) == Kind::Relation, g_relation = tree_.kind(g) == Kind::Relation;
  if (a_relation || g_relation) {
    const Item x = split_name(a), y = split_name(g);
    const bool x_open = tree_.kind(x.value) == Kind::Relation, y_open = tree_.kind(y.value) == Kind::Relation;
    if (!x_open && !y_open) return compare_named(x, y);
    if (a_relation && g_relation) return compare_equations(a, g);
    return {Verdict::Wrong,
            a_relation ? "a statement, which the gold answer is not" : "no statement, as the gold answer is one"};
  }
  if (is_collection(a) || is_collection(g)) return compare_collections(a, g);
  const Kind kind = tree_.kind(a), other = tree_.kind(g);
  if (kind == Kind::Tuple && other == Kind::Tuple)
    return compare_in_order(tree_.children(a), tree_.children(g), "the same entries in order",
                            "another tuple than the gold answer");
  if (kind == Kind::Bracket && other == Kind::Bracket)
    return compare_in_order(tree_.children(a), tree_.children(g), "the same entries in order",
                            "another list than the gold answer");
  if (kind == Kind::Interval && other == Kind::Interval) {
    if (tree_[a].detail != tree_[g].detail)
      return {Verdict::Wrong, "an interval with other ends than the gold answer's"};
    return compare_in_order(tree_.children(a), tree_.children(g), "the same interval",
                            "another interval than the gold answer");
  }
  if (kind == Kind::Ratio || other == Kind::Ratio) return compare_ratios(a, g);
  const NodeId matrix = matrix_of(a), gold_matrix = matrix_of(g);
  if (matrix != kNoNode || gold_matrix != kNoNode)
    return compare_matrices(matrix == kNoNode ? a : matrix, gold_matrix == kNoNode ? g : gold_matrix);
  return compare_scalars(a, g);
}

Ruling Comparison::compare_named(const Item& a, const Item& g) {
  if (same_name(a.name, g.name)) return compare_values(a.value, g.value);
  // "y = x^2" and "f(x) = x^2" draw the same curve.
  const auto is_call = [&](NodeId id) { return tree_.kind(id) == Kind::Product && tree_[id].count == 2; };
  const auto is_y = [&](NodeId id) { return tree_.kind(id) == Kind::Symbol && tree_.name(id) == "y"; };
  const bool curves = (is_call(a.name) && is_y(g.name)) || (is_y(a.name) && is_call(g.name));
  if (curves && tree_[a.value].has_symbol) return compare_values(a.value, g.value);
  return {Verdict::Wrong, "the value of another unknown than the gold answer's"};
}

// Left minus right, or right minus left.
NodeId Comparison::difference(NodeId relation, bool flip) {
  const NodeId left = tree_.child(relation, flip ? 1 : 0), right = tree_.child(relation, flip ? 0 : 1);
  return tree_.add(Kind::Sum, {left, tree_.add(Kind::Negative, {right})});
}

// Equal up to a factor: 2x + 4y = 6 and x + 2y - 3 = 0; of inequalities the factor is positive.
Ruling Comparison::compare_equations(NodeId a, NodeId g) {
  const auto a_relations = tree_.relations(a), g_relations = tree_.relations(g);
  if (a_relations.size() != 1 || g_relations.size() != 1) {
    const bool alike = std::equal(a_relations.begin(), a_relations.end(), g_relations.begin(), g_relations.end());
    if (!alike) return {Verdict::Wrong, "another chain of relations than the gold answer"};
    return compare_in_order(tree_.children(a), tree_.children(g), "the same chain of relations",
                            "another chain of relations than the gold answer");
  }
  const auto flips = [](Relate r) { return r == Relate::Less || r == Relate::LessEqual; };
  const auto kind = [](Relate r) {
    return r == Relate::Less            ? Relate::Greater
           : r == Relate::LessEqual     ? Relate::GreaterEqual
           : r == Relate::Approximately ? Relate::Equal
                                        : r;
  };
  const Relate relate = a_relations[0], gold_relate = g_relations[0];
  if (kind(relate) != kind(gold_relate) || relate == Relate::In)
    return {Verdict::Wrong, "another relation than the gold answer"};
  const NodeId x = difference(a, flips(relate)), y = difference(g, flips(gold_relate));
  if (x == kNoNode || y == kNoNode) return {Verdict::Unparsed, "too large to decide"};
  const bool ordered = kind(relate) == Relate::Greater || kind(relate) == Relate::GreaterEqual;
  switch (identity_.proportional(x, y, ordered)) {
    case Finding::Same:
      return {Verdict::Right, ordered ? "the same inequality" : "the same equation up to a factor"};
    case Finding::Different:
      return {Verdict::Wrong,
              ordered ? "another inequality than the gold answer" : "another equation than the gold answer"};
    default:
      return {Verdict::Unparsed, "no telling whether the statements are the same"};
  }
}

bool Comparison::is_collection(NodeId id) const {
  const Kind kind = tree_.kind(id);
  if (kind == Kind::List || kind == Kind::Set) return true;
  return tree_[id].has_sign && kind != Kind::Tuple && kind != Kind::Interval && kind != Kind::Matrix;
}

std::vector<Comparison::Item> Comparison::items_of(NodeId id) {
  std::vector<Item> items;
  const bool several = tree_.kind(id) == Kind::List || tree_.kind(id) == Kind::Set;
  if (!several) {
    expand({kNoNode, id}, items);
    return items;
  }
  // In "x = 1, 2, 3" the name is that of all.
  const std::vector<NodeId> children(tree_.children(id).begin(), tree_.children(id).end());
  size_t num_named = 0;
  NodeId first_name = kNoNode;
  for (const NodeId child : children) {
    Item item = split_name(child);
    if (item.name != kNoNode) ++num_named;
    if (items.empty()) first_name = item.name;
    expand(item, items);
    if (items.size() > kMaxItems || budget_.spent()) break;
  }
  if (num_named == 1 && first_name != kNoNode)
    for (Item& item : items) item.name = first_name;
  return items;
}

// "1 ± 2" is "1 + 2, 1 - 2"; with a ∓ in it the signs go together, otherwise each is free.
void Comparison::expand(const Item& item, std::vector<Item>& items) {
  if (!tree_[item.value].has_sign) {
    items.push_back(item);
    return;
  }
  const bool is_set = tree_.kind(item.value) == Kind::Set || tree_.kind(item.value) == Kind::List;
  if (is_set) {
    for (const Item& inner : items_of(item.value)) items.push_back({item.name, inner.value});
    return;
  }
  uint32_t num_signs = 0;
  with_signs(item.value, 0, num_signs, false);
  bool linked = false;
  std::vector<NodeId> stack = {item.value};
  while (!stack.empty() && budget_.spend(1)) {
    const NodeId id = stack.back();
    stack.pop_back();
    linked |= tree_.kind(id) == Kind::MinusPlus;
    if (tree_[id].has_sign) stack.insert(stack.end(), tree_.children(id).begin(), tree_.children(id).end());
  }
  if (num_signs > 4 && !linked) {
    items.push_back(item);
    return;
  }
  const uint32_t count = linked ? 2 : 1u << num_signs;
  for (uint32_t signs = 0; signs < count; ++signs) {
    uint32_t used = 0;
    const NodeId value = with_signs(item.value, signs, used, linked);
    if (value != kNoNode) items.push_back({item.name, value});
  }
}

// A copy in which the k-th ± is a minus if bit k of `signs` is set (bit 0 for all if `linked`).
NodeId Comparison::with_signs(NodeId id, uint32_t signs, uint32_t& used, bool linked) {
  if (!tree_[id].has_sign) return id;
  if (!budget_.spend(1)) return kNoNode;
  const Kind kind = tree_.kind(id);
  const std::vector<NodeId> old(tree_.children(id).begin(), tree_.children(id).end());
  const uint32_t detail = tree_[id].detail;
  if (kind == Kind::PlusMinus || kind == Kind::MinusPlus) {
    const uint32_t bit = linked ? 0 : std::min(used, 31u);
    ++used;
    const NodeId child = with_signs(old[0], signs, used, linked);
    const bool minus = ((signs >> bit) & 1) != static_cast<uint32_t>(kind == Kind::MinusPlus);
    return minus ? tree_.add(Kind::Negative, {child}) : child;
  }
  if (kind == Kind::Relation) return kNoNode;
  std::vector<NodeId> children;
  for (const NodeId child : old) children.push_back(with_signs(child, signs, used, linked));
  return tree_.add(kind, children, detail);
}

void Comparison::drop_equals(std::vector<Item>& items) {
  std::vector<Item> kept;
  for (const Item& item : items) {
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const Item& other) {
      return same_name(item.name, other.name) && compare_values(item.value, other.value).verdict == Verdict::Right;
    });
    if (!known) kept.push_back(item);
    if (budget_.spent()) return;
  }
  items = std::move(kept);
}

Ruling Comparison::compare_collections(NodeId a, NodeId g) {
  std::vector<Item> x = items_of(a), y = items_of(g);
  if (budget_.spent() || x.size() > kMaxItems || y.size() > kMaxItems)
    return {Verdict::Unparsed, "too large to decide"};
  const bool is_set = tree_.kind(a) == Kind::Set || tree_.kind(g) == Kind::Set;
  const auto lone = [&](NodeId id) { return !is_collection(id); };
  if (lone(a) || lone(g)) {
    // "x = 1, y = 2" names what the point (1, 2) lists.
    const NodeId one = lone(a) ? a : g;
    const std::vector<Item>& several = lone(a) ? y : x;
    const bool all_named = std::all_of(several.begin(), several.end(), [](const Item& i) { return i.name != kNoNode; });
    if (tree_.kind(one) == Kind::Tuple && all_named && several.size() == tree_[one].count &&
        !same_name(several[0].name, several[1].name)) {
      std::vector<NodeId> values;
      for (const Item& item : several) values.push_back(item.value);
      const std::vector<NodeId> entries(tree_.children(one).begin(), tree_.children(one).end());
      return compare_in_order(values, entries, "the same entries by name", "other entries than the gold answer's");
    }
    return {Verdict::Wrong,
            lone(a) ? "one value, where the gold answer has several" : "several values, where the gold answer has one"};
  }
  if (is_set || x.size() != y.size()) {
    if (is_set) {
      drop_equals(x);
      drop_equals(y);
    }
    if (x.size() != y.size()) return {Verdict::Wrong, "another number of values than the gold answer"};
  }
  return match_items(std::move(x), std::move(y), options_.ordered_lists && !is_set);
}

Ruling Comparison::match_items(std::vector<Item> x, std::vector<Item> y, bool ordered) {
  const auto one_name = [&](const std::vector<Item>& items) {
    return std::all_of(items.begin(), items.end(),
                       [&](const Item& i) { return i.name != kNoNode && same_name(i.name, items[0].name); });
  };
  const auto no_name = [](const std::vector<Item>& items) {
    return std::all_of(items.begin(), items.end(), [](const Item& i) { return i.name == kNoNode; });
  };
  // "x = 1, x = 2" and "1, 2"; but of "x = 1, y = 2" and "p = 1, q = 2" the names count.
  const bool drop = (one_name(x) && no_name(y)) || (no_name(x) && one_name(y));
  for (size_t i = 0; i < x.size(); ++i) {
    bool found = false;
    for (size_t k = 0; k < y.size() && !found; ++k) {
      const size_t j = ordered ? i : (i + k) % x.size();
      if (ordered && k > 0) break;
      if (y[j].value == kNoNode || (!drop && !same_name(x[i].name, y[j].name))) continue;
      if (budget_.spent()) return {Verdict::Unparsed, "too large to decide"};
      if (compare_values(x[i].value, y[j].value).verdict != Verdict::Right) continue;
      y[j].value = kNoNode;
      found = true;
    }
    if (!found) return {Verdict::Wrong, "other values than the gold answer's"};
  }
  return {Verdict::Right, ordered ? "the same values in order" : "the same values"};
}

Ruling Comparison::compare_in_order(std::span<const NodeId> a, std::span<const NodeId> g, const char* same,
                                    const char* different) {
  const std::vector<NodeId> x(a.begin(), a.end()), y(g.begin(), g.end());
  if (x.size() != y.size()) return {Verdict::Wrong, different};
  for (size_t i = 0; i < x.size(); ++i) {
    const Ruling ruling = compare_values(x[i], y[i]);
    if (ruling.verdict == Verdict::Unparsed) return ruling;
    if (ruling.verdict == Verdict::Wrong) return {Verdict::Wrong, different};
  }
  return {Verdict::Right, same};
}

// 7:32 is 14:64; 1:05 is a time.
Ruling Comparison::compare_ratios(NodeId a, NodeId g) {
  constexpr const char* kDifferent = "another ratio than the gold answer";
  if (tree_.kind(a) != tree_.kind(g)) {
    const NodeId ratio = tree_.kind(a) == Kind::Ratio ? a : g, other = ratio == a ? g : a;
    if (tree_[ratio].count != 2 || tree_.kind(other) != Kind::Quotient) return {Verdict::Wrong, kDifferent};
    const NodeId quotient = tree_.add(Kind::Quotient, {tree_.child(ratio, 0), tree_.child(ratio, 1)});
    if (quotient == kNoNode) return {Verdict::Unparsed, "too large to decide"};
    return compare_scalars(ratio == a ? quotient : a, ratio == a ? g : quotient);
  }
  const std::vector<NodeId> x(tree_.children(a).begin(), tree_.children(a).end());
  const std::vector<NodeId> y(tree_.children(g).begin(), tree_.children(g).end());
  if (x.size() != y.size()) return {Verdict::Wrong, kDifferent};
  if (compare_in_order(x, y, "", kDifferent).verdict == Verdict::Right) return {Verdict::Right, "the same ratio"};
  for (size_t i = 1; i < x.size(); ++i) {
    const Rational* zero = exact_.value(x[i]);
    if (zero != nullptr && zero->is_zero()) return {Verdict::Wrong, kDifferent};
    const NodeId left = tree_.add(Kind::Product, {x[0], y[i]}), right = tree_.add(Kind::Product, {x[i], y[0]});
    if (left == kNoNode || right == kNoNode) return {Verdict::Unparsed, "too large to decide"};
    if (compare_scalars(left, right).verdict != Verdict::Right) return {Verdict::Wrong, kDifferent};
  }
  return {Verdict::Right, "the same ratio"};
}

Ruling Comparison::compare_matrices(NodeId a, NodeId g) {
  const auto is_vector = [&](NodeId id) {
    return tree_.kind(id) == Kind::Matrix && (tree_[id].detail == 1 || tree_[id].detail == tree_[id].count);
  };
  const bool matrices = tree_.kind(a) == Kind::Matrix && tree_.kind(g) == Kind::Matrix;
  const bool vector = (is_vector(a) && tree_.kind(g) == Kind::Tuple) || (is_vector(g) && tree_.kind(a) == Kind::Tuple);
  if ((!matrices || tree_[a].detail != tree_[g].detail) && !vector)
    return {Verdict::Wrong, matrices ? "a matrix of another shape than the gold answer" : "a matrix on one side only"};
  return compare_in_order(tree_.children(a), tree_.children(g), "the same matrix",
                          "another matrix than the gold answer");
}

}  // namespace thinktune::reward
