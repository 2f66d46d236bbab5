// One quantity on each side: units, percent, bases, matrices, and then the values.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "reward/comparison.h"
#include "reward/units.h"

namespace thinktune::reward {
namespace {

using rollout::Verdict;

}  // namespace

// The value below signs of measure: "-$5" is -5 dollars, "5\%" is 5 percent.
Comparison::Quantity Comparison::quantity(NodeId id) {
  Quantity q;
  q.value = id;
  for (int i = 0; i < 8 && q.value != kNoNode; ++i) {
    const Kind kind = tree_.kind(q.value);
    if (kind == Kind::Quantity) {
      if (q.unit.empty()) q.unit = tree_.name(q.value);
      q.value = tree_.child(q.value, 0);
    } else if (kind == Kind::Percent) {
      q.percent = true;
      q.value = tree_.child(q.value, 0);
    } else if (kind == Kind::Negative) {
      const Kind inner = tree_.kind(tree_.child(q.value, 0));
      if (inner != Kind::Quantity && inner != Kind::Percent) break;
      const Quantity below = quantity(tree_.child(q.value, 0));
      q.percent |= below.percent;
      if (q.unit.empty()) q.unit = below.unit;
      q.value = tree_.add(Kind::Negative, {below.value});
      break;
    } else {
      break;
    }
  }
  return q;
}

Ruling Comparison::compare_scalars(NodeId a, NodeId g) {
  const Quantity x = quantity(a), y = quantity(g);
  if (x.value == kNoNode || y.value == kNoNode) return {Verdict::Unparsed, "too large to decide"};
  const auto known = [](std::string_view unit) { return !unit.empty() && unit != "?"; };
  const auto degrees = [](std::string_view unit) { return unit == "°" || unit == "°C" || unit == "°F"; };
  const bool clash = x.unit != y.unit && !(degrees(x.unit) && degrees(y.unit) && (x.unit == "°" || y.unit == "°"));
  if (options_.compare_units && known(x.unit) && known(y.unit) && clash)
    return {Verdict::Wrong, "in another unit than the gold answer"};
  if (x.percent == y.percent || options_.percent == PercentRule::Ignore) return compare_quantities(x.value, y.value);
  const NodeId as_value = tree_.add(Kind::Percent, {x.percent ? x.value : y.value});
  if (as_value == kNoNode) return {Verdict::Unparsed, "too large to decide"};
  const Ruling ruling = compare_quantities(x.percent ? as_value : x.value, y.percent ? as_value : y.value);
  if (options_.percent == PercentRule::Value || ruling.verdict == Verdict::Right) return ruling;
  return compare_quantities(x.value, y.value);
}

bool Comparison::is_word(NodeId id) const { return tree_.kind(id) == Kind::Symbol && tree_.name(id)[0] == '"'; }

int Comparison::infinity_sign(NodeId id) const {
  if (tree_.kind(id) == Kind::Infinity) return 1;
  return tree_.kind(id) == Kind::Negative ? -infinity_sign(tree_.child(id, 0)) : 0;
}

// 40_9: the digits as they are asked for. Its value in another base is another answer.
bool Comparison::compare_based(NodeId a, NodeId g, Ruling& ruling) {
  const bool x = tree_.kind(a) == Kind::Based, y = tree_.kind(g) == Kind::Based;
  if (!x && !y) return false;
  const auto digits = [&](NodeId id, std::string& text) {
    if (tree_.kind(id) == Kind::Based)
      text = tree_.name(id);
    else if (tree_.kind(id) == Kind::Number && tree_.number(id).exponent >= 0 && tree_.number(id).exponent < 40)
      text = tree_.number(id).digits + std::string(static_cast<size_t>(tree_.number(id).exponent), '0');
    else
      return false;
    std::erase_if(text, [](char c) { return c != '.' && (c < '0' || c > '9'); });
    text.erase(0, std::min(text.find_first_not_of('0'), text.size()));
    return true;
  };
  const auto base = [&](NodeId id) {
    const NodeId of = tree_.child(id, 0);
    int64_t value = 0;
    if (is_word(of)) return static_cast<int64_t>(number_of_word(std::string_view(tree_.name(of)).substr(1)));
    return exact_.small_integer(of, 1000, value) ? value : -1;
  };
  std::string left, right;
  ruling = {Verdict::Wrong, "a number in another base than the gold answer"};
  if (x != y && !options_.missing_base) return true;
  if (!digits(a, left) || !digits(g, right)) return true;
  if (x && y && base(a) != base(g)) return true;
  ruling = left == right ? Ruling{Verdict::Right,
                                  x && y ? "the same digits in the same base" : "the same digits, one without its base"}
                         : Ruling{Verdict::Wrong, "other digits than the gold answer's"};
  return true;
}

// A number, or a number times a power of ten, whose exponent may be far too large for a value.
bool Comparison::decimal_of(NodeId id, Decimal& decimal) {
  const Kind kind = tree_.kind(id);
  if (kind == Kind::Number) {
    decimal = tree_.number(id);
    return true;
  }
  if (kind == Kind::Product) {
    Decimal power;
    if (tree_[id].count != 2 || tree_.kind(tree_.child(id, 0)) != Kind::Number) return false;
    if (tree_.kind(tree_.child(id, 1)) != Kind::Power || !decimal_of(tree_.child(id, 1), power)) return false;
    decimal = tree_.number(tree_.child(id, 0));
    if (!decimal.is_zero()) decimal.exponent += power.exponent;
    return true;
  }
  if (kind != Kind::Power || tree_.kind(tree_.child(id, 0)) != Kind::Number) return false;
  int64_t exponent = 0;
  if (tree_.number(tree_.child(id, 0)) != Decimal{false, "1", 1}) return false;
  if (!exact_.small_integer(tree_.child(id, 1), 1'000'000'000, exponent)) return false;
  decimal = Decimal{false, "1", exponent};
  return true;
}

// Numbers too long for exact values, and their quotients: compared digit by digit.
bool Comparison::compare_long_fractions(NodeId a, NodeId g, Ruling& ruling) {
  constexpr size_t kLong = 2000;
  bool is_long = false;
  const auto fraction = [&](NodeId id, Value& value) {
    bool negative = false;
    if (tree_.kind(id) == Kind::Negative) {
      negative = true;
      id = tree_.child(id, 0);
    }
    const bool divides = tree_.kind(id) == Kind::Quotient;
    if (!decimal_of(divides ? tree_.child(id, 0) : id, value.numerator)) return false;
    if (divides && !decimal_of(tree_.child(id, 1), value.denominator)) return false;
    if (value.denominator.is_zero()) return false;
    value.numerator.negative = negative && !value.numerator.is_zero();
    const auto size = [](const Decimal& d) { return d.digits.size() + static_cast<size_t>(std::abs(d.exponent)); };
    is_long |= size(value.numerator) > kLong || size(value.denominator) > kLong;
    return true;
  };
  Value x, y;
  if (!fraction(a, x) || !fraction(g, y) || !is_long) return false;
  switch (thinktune::reward::compare(x, y)) {
    case Sameness::Same:
      ruling = {Verdict::Right, "the same number"};
      return true;
    case Sameness::Different:
      ruling = {Verdict::Wrong, "another number than the gold answer"};
      return true;
    case Sameness::TooLong:
      break;
  }
  ruling = {Verdict::Unparsed, "fractions too long to compare exactly"};
  return true;
}

// What has no value to compute with: words, infinities, bases.
bool Comparison::compare_special(NodeId a, NodeId g, Ruling& ruling) {
  if (compare_based(a, g, ruling)) return true;
  if (is_word(a) || is_word(g)) {
    if (a == g || (is_word(a) && is_word(g) && tree_[a].detail == tree_[g].detail))
      ruling = {Verdict::Right, "the same words"};
    else if (is_word(a) && is_word(g))
      ruling = {Verdict::Wrong, "other words than the gold answer"};
    else if (const NodeId word = is_word(a) ? a : g; int64_t number = number_of_word(tree_.name(word).substr(1))) {
      int64_t value = 0;
      const bool same = exact_.small_integer(word == a ? g : a, 100, value) && value == number;
      ruling = same ? Ruling{Verdict::Right, "the same number"}
                    : Ruling{Verdict::Wrong, "another number than the gold answer"};
    } else if (is_word(a))
      ruling = {Verdict::Unparsed, "words, where the gold answer is mathematics"};
    else
      ruling = {Verdict::Wrong, "no words, as the gold answer is"};
    return true;
  }
  const int x = infinity_sign(a), y = infinity_sign(g);
  if (x != 0 || y != 0) {
    ruling = x == y ? Ruling{Verdict::Right, "the same infinity"} : Ruling{Verdict::Wrong, "infinite on one side only"};
    return true;
  }
  if (tree_.kind(a) == Kind::Symbol && tree_.kind(g) == Kind::Symbol) {
    ruling = tree_[a].detail == tree_[g].detail ? Ruling{Verdict::Right, "the same name"}
                                                : Ruling{Verdict::Wrong, "another letter than the gold answer"};
    return true;
  }
  return false;
}

bool Comparison::within_tolerance(NodeId a, NodeId g) {
  double x = 0, y = 0;
  return options_.relative_tolerance > 0 && identity_.approximate(a, x) && identity_.approximate(g, y) &&
         std::fabs(x - y) <= options_.relative_tolerance * std::fabs(y);
}

Ruling Comparison::compare_quantities(NodeId a, NodeId g) {
  Ruling ruling;
  if (compare_special(a, g, ruling) || compare_long_fractions(a, g, ruling)) return ruling;
  const auto several = [&](NodeId id) { return tree_.kind(id) >= Kind::Tuple; };
  if (several(a) || several(g)) {
    if (several(a) && several(g)) return {Verdict::Wrong, "of another kind than the gold answer"};
    return {Verdict::Wrong,
            several(a) ? "several values, where the gold answer is one" : "one value, where the gold answer is none"};
  }
  const bool constant = !tree_[a].has_symbol, gold_constant = !tree_[g].has_symbol;
  const bool exact = constant && gold_constant && exact_.value(a) != nullptr && exact_.value(g) != nullptr;
  switch (identity_.equal(a, g)) {
    case Finding::Same: {
      int64_t n = 0, m = 0;
      if (options_.reduced_fractions && tree_.kind(a) == Kind::Quotient &&
          exact_.small_integer(tree_.child(a, 0), int64_t{1} << 60, n) &&
          exact_.small_integer(tree_.child(a, 1), int64_t{1} << 60, m) && std::gcd(n, m) != 1)
        return {Verdict::Wrong, "a fraction that is not reduced"};
      return {Verdict::Right, exact                       ? "the same number"
                              : constant && gold_constant ? "the same value to 25 digits and more"
                                                          : "the same value at every point"};
    }
    case Finding::Different:
      if (constant && gold_constant && within_tolerance(a, g))
        return {Verdict::Right, "the same number within the tolerance"};
      if (constant && gold_constant) return {Verdict::Wrong, "another number than the gold answer"};
      if (constant) return {Verdict::Wrong, "a number, which the gold answer is not"};
      return {Verdict::Wrong, "another value than the gold answer at a point"};
    case Finding::Undefined:
      return {Verdict::Unparsed, "it has no value"};
    default:
      return {Verdict::Unparsed, "too large to decide"};
  }
}

// --- matrices ---

NodeId Comparison::matrix_of(NodeId id) {
  if (!budget_.spend(1)) return kNoNode;
  const std::vector<NodeId> children(tree_.children(id).begin(), tree_.children(id).end());
  switch (tree_.kind(id)) {
    case Kind::Matrix:
      return id;
    case Kind::Bracket:
    case Kind::Quantity:
      return children.size() == 1 ? matrix_of(children[0]) : kNoNode;
    case Kind::Negative: {
      const NodeId inner = matrix_of(children[0]);
      return inner == kNoNode ? kNoNode : scaled_matrix(inner, kNoNode, Kind::Negative);
    }
    case Kind::Quotient: {
      const NodeId inner = matrix_of(children[0]);
      return inner == kNoNode ? kNoNode : scaled_matrix(inner, children[1], Kind::Quotient);
    }
    case Kind::Sum:
      return matrix_sum(id);
    case Kind::Product: {
      NodeId total = kNoNode, factor = kNoNode;
      for (const NodeId child : children) {
        const NodeId matrix = matrix_of(child);
        if (matrix == kNoNode)
          factor = factor == kNoNode ? child : tree_.add(Kind::Product, {factor, child});
        else
          total = total == kNoNode ? matrix : matrix_product(total, matrix);
        if (matrix != kNoNode && total == kNoNode) return kNoNode;
      }
      return total == kNoNode || factor == kNoNode ? total : scaled_matrix(total, factor, Kind::Product);
    }
    default:
      return kNoNode;
  }
}

NodeId Comparison::scaled_matrix(NodeId matrix, NodeId factor, Kind kind) {
  const std::vector<NodeId> old(tree_.children(matrix).begin(), tree_.children(matrix).end());
  std::vector<NodeId> entries;
  for (const NodeId entry : old)
    entries.push_back(kind == Kind::Negative ? tree_.add(kind, {entry}) : tree_.add(kind, {entry, factor}));
  return tree_.add(Kind::Matrix, entries, tree_[matrix].detail);
}

NodeId Comparison::matrix_sum(NodeId id) {
  const std::vector<NodeId> terms(tree_.children(id).begin(), tree_.children(id).end());
  NodeId total = matrix_of(terms[0]);
  for (size_t i = 1; i < terms.size() && total != kNoNode; ++i) {
    const NodeId term = matrix_of(terms[i]);
    if (term == kNoNode || tree_[term].count != tree_[total].count || tree_[term].detail != tree_[total].detail)
      return kNoNode;
    std::vector<NodeId> entries;
    for (size_t k = 0; k < tree_[total].count; ++k)
      entries.push_back(tree_.add(Kind::Sum, {tree_.child(total, k), tree_.child(term, k)}));
    total = tree_.add(Kind::Matrix, entries, tree_[total].detail);
  }
  return total;
}

NodeId Comparison::matrix_product(NodeId a, NodeId b) {
  const size_t inner = tree_[a].detail, columns = tree_[b].detail;
  const size_t rows = tree_[a].count / inner;
  if (tree_[b].count != inner * columns || rows * columns > 400) return kNoNode;
  std::vector<NodeId> entries;
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < columns; ++c) {
      std::vector<NodeId> terms;
      for (size_t k = 0; k < inner; ++k)
        terms.push_back(tree_.add(Kind::Product, {tree_.child(a, r * inner + k), tree_.child(b, k * columns + c)}));
      entries.push_back(tree_.add(Kind::Sum, terms));
    }
  return tree_.add(Kind::Matrix, entries, static_cast<uint32_t>(columns));
}

}  // namespace thinktune::reward
