// Values of expressions as balls.
#pragma once

#include <span>
#include <vector>

#include "reward/ball.h"
#include "reward/exact.h"

namespace thinktune::reward {

using Float64 = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<64>, boost::multiprecision::et_off>;
using Float200 =
    boost::multiprecision::number<boost::multiprecision::cpp_bin_float<200>, boost::multiprecision::et_off>;

// Evaluates at one point: `values` holds one number for each name of the tree.
template <class R>
class Evaluator {
 public:
  Evaluator(const Expressions& tree, Exact& exact, Budget& budget, std::span<const double> values)
      : tree_(tree), exact_(exact), budget_(budget), values_(values) {}

  Ball<R> value(NodeId id);
  bool left_reals() const { return math_.left_reals; }

 private:
  using B = Ball<R>;
  using M = BallMath<R>;

  B rational(const Rational& x);
  B number(NodeId id);
  B sum(NodeId id);
  B product(NodeId id);
  B power(NodeId id);
  B root(NodeId id);
  B function(NodeId id);
  B trigonometric(Fn fn, NodeId of);
  B logarithm(NodeId id);
  B extreme(NodeId id);
  B factorial(NodeId id);
  B binomial(NodeId id);
  B opaque(NodeId id);

  const Expressions& tree_;
  Exact& exact_;
  Budget& budget_;
  std::span<const double> values_;
  M math_;
};

extern template class Evaluator<double>;
extern template class Evaluator<Float64>;
extern template class Evaluator<Float200>;

}  // namespace thinktune::reward
