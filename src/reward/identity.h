// Whether two expressions have the same value everywhere, decided by evaluating them.
//
// Each value is a ball: a centre of 64 (then 200) decimal digits and a bound on its distance from the true value, which
// every operation carries on: of a sum, the bounds of its terms and the rounding; of a product, |a|·e_b + |b|·e_a +
// e_a·e_b and the rounding; of f(a), e_a times a bound of |f'| over the ball. Functions are trusted to 32 units of the
// last place (boost's are within a few).
//
// Different: at one point the balls are apart. That is a proof, as far as the library's functions keep their bound.
// Same: at every point the balls overlap, and their radius is below 1e-25 of the values themselves (1e-40 around zero).
//   Constants that differ by less than that do not come about by chance: of numbers with k nodes and h digits in all,
//   two that differ are apart by more than 10^(-h·2^k) at worst, but those near the worst are made, not met. With
//   symbols, a difference that is a polynomial of degree d vanishes at a random point with a probability of at most
//   d/2^20 (Schwartz, Zippel), at the four points asked for with at most (d/2^20)^4: below 1e-16 for any d up to 100.
//   Two will do where the domain is so narrow that of 24 points no more fall into it. Where symbols stand for whole
//   numbers (factorials, binomials, (-1)^n), eight points of 1 … 40 are asked for.
// The points are pseudo-random numbers of fixed keys (Philox): the same in every run.
#pragma once

#include "reward/exact.h"

namespace thinktune::reward {

enum class Finding : uint8_t {
  Same,
  Different,
  Undecided,  // not within the budget or the precision
  Undefined,  // no point where both have a value
};

class Identity {
 public:
  Identity(const Expressions& tree, Exact& exact, Budget& budget) : tree_(tree), exact_(exact), budget_(budget) {}

  Finding equal(NodeId a, NodeId b);
  // a = c·b with one number c other than zero at all points; `positive`: c > 0.
  Finding proportional(NodeId a, NodeId b, bool positive);
  // A real constant to about 15 digits; false if it is none.
  bool approximate(NodeId id, double& value);

 private:
  template <class R>
  Finding equal_at_points(NodeId a, NodeId b, int num_points);
  template <class R>
  Finding equal_constants(NodeId a, NodeId b);
  template <class R>
  Finding proportional_at_points(NodeId a, NodeId b, bool positive);

  const Expressions& tree_;
  Exact& exact_;
  Budget& budget_;
};

}  // namespace thinktune::reward
