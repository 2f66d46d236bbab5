// Exact values of those expressions that are rational numbers.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <vector>

#include "reward/expression.h"

namespace thinktune::reward {

using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

// One a comparison; keeps what it computed. A value whose numerator or denominator has more than kMaxBits bits is not
// computed, and the work is charged to the budget.
class Exact {
 public:
  static constexpr size_t kMaxBits = 1 << 16;

  Exact(const Expressions& tree, Budget& budget) : tree_(tree), budget_(budget) {}

  // Null if the expression is not rational, or not seen to be, or too large. The pointer lasts until the next call.
  const Rational* value(NodeId id);
  // The value, if it is an integer from -limit to limit.
  bool small_integer(NodeId id, int64_t limit, int64_t& value);

 private:
  enum class State : uint8_t { Unknown, None, Known };
  struct Entry {
    State state = State::Unknown;
    uint32_t index = 0;
  };

  bool compute(NodeId id, Rational& result);
  bool number(NodeId id, Rational& result);
  bool sum(NodeId id, Rational& result);
  bool product(NodeId id, Rational& result);
  bool quotient(NodeId id, Rational& result);
  bool power(NodeId id, Rational& result);
  bool root(Rational of, uint64_t degree, Rational& result);
  bool function(NodeId id, Rational& result);
  bool factorial(NodeId id, Rational& result);
  bool binomial(NodeId id, Rational& result);
  bool copy(NodeId id, Rational& result);
  bool affordable(const Rational& a, const Rational& b);

  const Expressions& tree_;
  Budget& budget_;
  std::vector<Entry> entries_;
  std::vector<Rational> values_;
};

}  // namespace thinktune::reward
