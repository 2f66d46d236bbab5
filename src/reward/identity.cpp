#include "reward/identity.h"

#include <array>

#include "reward/evaluate.h"
#include "thinktune/core/random.h"

namespace thinktune::reward {
namespace {

constexpr int kMaxTries = 24;
constexpr int kPoints = 4;

// Where symbols stand for whole numbers only: factorials, binomials, (-1)^n.
bool wants_integers(const Expressions& tree, NodeId id, Budget& budget) {
  if (!tree[id].has_symbol || !budget.spend(1)) return false;
  const Kind kind = tree.kind(id);
  if (kind == Kind::Factorial || (kind == Kind::Function && tree.function(id) == Fn::Binomial)) return true;
  if (kind == Kind::Power && tree[tree.child(id, 1)].has_symbol) {
    const Kind base = tree.kind(tree.child(id, 0));
    if (base == Kind::Negative && !tree[tree.child(id, 0)].has_symbol) return true;
  }
  for (const NodeId child : tree.children(id))
    if (wants_integers(tree, child, budget)) return true;
  return false;
}

// One number a name: multiples of 2^-20 of both signs, of sizes from a tenth to thousands, so that roots and logarithms
// find their domain; or whole numbers.
std::vector<double> point(size_t num_names, int attempt, bool integers) {
  static constexpr std::array<double, 6> kScales = {3, 1, 30, 0.3, 1000, 10};
  std::vector<double> values(num_names);
  for (size_t i = 0; i < num_names; ++i) {
    const auto bits = core::philox4x32({static_cast<uint32_t>(i), static_cast<uint32_t>(attempt), 0x69646e74u, 0},
                                       {0x7468696eu, 0x6b74756eu});
    const double fraction = (1 + (bits[0] & 0xfffffu)) * 0x1p-20;
    if (integers) {
      values[i] = 1 + bits[1] % (attempt < 8 ? 12u : 40u);
      continue;
    }
    // All positive first and every third time, then of random signs.
    const bool negative = attempt % 3 != 0 && (bits[2] & 1) != 0;
    values[i] = (negative ? -1 : 1) * kScales[static_cast<size_t>(attempt) % kScales.size()] * (0.1 + fraction);
  }
  return values;
}

template <class R>
Finding judge(const Ball<R>& a, const Ball<R>& b) {
  using M = BallMath<R>;
  const Ball<R> difference = M::add(a, M::negate(b));
  if (!difference.defined) return Finding::Undecided;
  const double radius = difference.radius;
  // `size` is at most √2 too large.
  if (difference.size * 0.7 > 2 * radius) return Finding::Different;
  const double smaller = std::min(a.size, b.size), larger = std::max(a.size, b.size);
  if (radius <= 1e-25 * std::min(1.0, smaller)) return Finding::Same;
  if (radius <= 1e-40 && larger <= 2 * radius) return Finding::Same;  // both are zero
  return Finding::Undecided;
}

}  // namespace

template <class R>
Finding Identity::equal_constants(NodeId a, NodeId b) {
  Evaluator<R> evaluator(tree_, exact_, budget_, {});
  const Ball<R> x = evaluator.value(a);
  if (!x.defined) return Finding::Undefined;
  const Ball<R> y = evaluator.value(b);
  if (!y.defined) return Finding::Undefined;
  return judge(x, y);
}

template <class R>
Finding Identity::equal_at_points(NodeId a, NodeId b, int num_points) {
  const bool integers = wants_integers(tree_, a, budget_) || wants_integers(tree_, b, budget_);
  const bool complex = tree_[a].has_imaginary || tree_[b].has_imaginary;
  if (integers && !std::is_same_v<R, double>) num_points *= 2;  // there are fewer of them to draw from
  int num_same = 0, num_same_complex = 0, num_undecided = 0;
  bool complex_differs = false;
  for (int attempt = 0; attempt < kMaxTries && num_same < num_points && !budget_.spent(); ++attempt) {
    const std::vector<double> values = point(tree_.num_names(), attempt, integers);
    Evaluator<R> evaluator(tree_, exact_, budget_, values);
    const Ball<R> x = evaluator.value(a);
    if (!x.defined) continue;
    const Ball<R> y = evaluator.value(b);
    if (!y.defined) continue;
    const Finding finding = judge(x, y);
    // Where roots of negative numbers come in, the expressions are taken to say nothing, if they do elsewhere.
    const bool outside = evaluator.left_reals() && !complex;
    if (finding == Finding::Undecided) {
      if (++num_undecided >= num_points && std::is_same_v<R, double>) return Finding::Undecided;
    } else if (outside) {
      num_same_complex += finding == Finding::Same;
      complex_differs |= finding == Finding::Different;
    } else if (finding == Finding::Different) {
      return Finding::Different;
    } else {
      ++num_same;
    }
  }
  if (num_same >= num_points || (num_same >= 2 && num_undecided == 0)) return Finding::Same;
  if (num_same == 0 && complex_differs) return Finding::Different;
  if (num_same == 0 && num_same_complex >= num_points) return Finding::Same;
  return num_undecided > 0 || budget_.spent() || num_same > 0 ? Finding::Undecided : Finding::Undefined;
}

Finding Identity::equal(NodeId a, NodeId b) {
  if (a == b) return Finding::Same;
  if (!tree_[a].has_symbol && !tree_[b].has_symbol) {
    const Rational* exact = exact_.value(a);
    if (exact != nullptr) {
      const Rational x = *exact;
      const Rational* y = exact_.value(b);
      if (y != nullptr) return x == *y ? Finding::Same : Finding::Different;
    }
    if (equal_constants<double>(a, b) == Finding::Different) return Finding::Different;
    Finding finding = equal_constants<Float64>(a, b);
    if (finding == Finding::Undecided) finding = equal_constants<Float200>(a, b);
    return budget_.spent() ? Finding::Undecided : finding;
  }
  // Two points in the processor's own arithmetic tell most unequal pairs.
  if (equal_at_points<double>(a, b, 2) == Finding::Different) return Finding::Different;
  const Finding finding = equal_at_points<Float64>(a, b, kPoints);
  return finding == Finding::Undecided && !budget_.spent() ? equal_at_points<Float200>(a, b, kPoints) : finding;
}

template <class R>
Finding Identity::proportional_at_points(NodeId a, NodeId b, bool positive) {
  using M = BallMath<R>;
  const bool integers = wants_integers(tree_, a, budget_) || wants_integers(tree_, b, budget_);
  Ball<R> a0, b0;  // at the first point
  int num_same = 0;
  for (int attempt = 0; attempt < kMaxTries && num_same <= kPoints && !budget_.spent(); ++attempt) {
    const std::vector<double> values = point(tree_.num_names(), attempt, integers);
    Evaluator<R> evaluator(tree_, exact_, budget_, values);
    const Ball<R> x = evaluator.value(a), y = evaluator.value(b);
    if (!x.defined || !y.defined || evaluator.left_reals()) continue;
    const bool x_zero = x.size <= 4 * x.radius, y_zero = y.size <= 4 * y.radius;
    if (x_zero && y_zero) continue;
    if (x_zero != y_zero) return x.radius + y.radius < 1e-6 ? Finding::Different : Finding::Undecided;
    if (positive && x.real && y.real && (x.re > 0) != (y.re > 0)) return Finding::Different;
    if (num_same++ == 0) {
      a0 = x;
      b0 = y;
      continue;
    }
    const Finding finding = judge(M::multiply(x, b0), M::multiply(a0, y));
    if (finding != Finding::Same) return finding;
  }
  return num_same > kPoints / 2 ? Finding::Same : Finding::Undecided;
}

Finding Identity::proportional(NodeId a, NodeId b, bool positive) {
  if (!tree_[a].has_symbol || !tree_[b].has_symbol) return Finding::Undecided;
  if (proportional_at_points<double>(a, b, positive) == Finding::Different) return Finding::Different;
  return proportional_at_points<Float64>(a, b, positive);
}

bool Identity::approximate(NodeId id, double& value) {
  if (tree_[id].has_symbol) return false;
  const Ball<double> ball = Evaluator<double>(tree_, exact_, budget_, {}).value(id);
  if (!ball.defined || !ball.real) return false;
  value = ball.re;
  return true;
}

}  // namespace thinktune::reward
