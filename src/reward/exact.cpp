#include "reward/exact.h"

#include <algorithm>

namespace thinktune::reward {
namespace {

using boost::multiprecision::denominator;
using boost::multiprecision::msb;
using boost::multiprecision::numerator;

size_t bits(const Integer& x) { return x.is_zero() ? 1 : msb(abs(x)) + 1; }
size_t bits(const Rational& x) { return std::max(bits(numerator(x)), bits(denominator(x))); }
bool is_integer(const Rational& x) { return denominator(x) == 1; }

Integer power_of(const Integer& base, uint64_t exponent) {
  return boost::multiprecision::pow(base, static_cast<unsigned>(exponent));
}

// The degree-th root of x >= 0, rounded down: Newton from above.
Integer integer_root(const Integer& x, uint64_t degree) {
  if (x <= 1) return x;
  if (degree == 2) return boost::multiprecision::sqrt(x);
  Integer guess = Integer(1) << (bits(x) / degree + 1);
  for (;;) {
    const Integer next = (guess * (degree - 1) + x / power_of(guess, degree - 1)) / degree;
    if (next >= guess) return guess;
    guess = next;
  }
}

}  // namespace

const Rational* Exact::value(NodeId id) {
  if (entries_.size() <= id) entries_.resize(std::max<size_t>(tree_.size(), id + 1));
  if (entries_[id].state == State::Unknown) {
    Rational result;
    const bool known = !tree_[id].has_symbol && !tree_[id].has_imaginary && budget_.spend(1) && compute(id, result) &&
                       bits(result) <= kMaxBits;
    if (known) {
      entries_[id] = {State::Known, static_cast<uint32_t>(values_.size())};
      values_.push_back(std::move(result));
    } else {
      entries_[id].state = State::None;
    }
  }
  return entries_[id].state == State::Known ? &values_[entries_[id].index] : nullptr;
}

bool Exact::small_integer(NodeId id, int64_t limit, int64_t& result) {
  const Rational* x = value(id);
  if (x == nullptr || !is_integer(*x) || abs(numerator(*x)) > limit) return false;
  result = static_cast<int64_t>(numerator(*x));
  return true;
}

bool Exact::affordable(const Rational& a, const Rational& b) {
  const size_t limbs = (bits(a) + bits(b)) / 64;
  return budget_.spend(1 + static_cast<int64_t>(limbs * limbs / 8));
}

bool Exact::copy(NodeId id, Rational& result) {
  const Rational* x = value(id);
  if (x != nullptr) result = *x;
  return x != nullptr;
}

bool Exact::compute(NodeId id, Rational& result) {
  switch (tree_.kind(id)) {
    case Kind::Number:
      return number(id, result);
    case Kind::Sum:
      return sum(id, result);
    case Kind::Product:
      return product(id, result);
    case Kind::Quotient:
      return quotient(id, result);
    case Kind::Power:
    case Kind::Root:
      return power(id, result);
    case Kind::Negative:
      if (!copy(tree_.child(id, 0), result)) return false;
      result = -result;
      return true;
    case Kind::Percent:
      if (!copy(tree_.child(id, 0), result)) return false;
      result /= 100;
      return true;
    case Kind::Quantity:
      return copy(tree_.child(id, 0), result);
    case Kind::Bracket:
      return tree_[id].count == 1 && copy(tree_.child(id, 0), result);
    case Kind::Function:
      return function(id, result);
    case Kind::Factorial:
      return factorial(id, result);
    default:
      return false;
  }
}

bool Exact::number(NodeId id, Rational& result) {
  constexpr size_t kMaxDigits = kMaxBits / 4;
  const Decimal& decimal = tree_.number(id);
  if (decimal.is_zero()) {
    result = 0;
    return true;
  }
  const auto shift = static_cast<size_t>(std::abs(decimal.exponent));
  if (decimal.digits.size() > kMaxDigits || shift > kMaxDigits) return false;
  const size_t limbs = (decimal.digits.size() + shift) / 19;
  if (!budget_.spend(1 + static_cast<int64_t>(limbs * limbs / 8))) return false;
  Integer digits;
  if (decimal.digits.size() <= 18) {
    int64_t value = 0;
    for (const char c : decimal.digits) value = value * 10 + (c - '0');
    digits = value;
  } else {
    digits = Integer(decimal.digits);
  }
  if (decimal.negative) digits = -digits;
  const Integer scale = power_of(10, shift);
  result = decimal.exponent >= 0 ? Rational(digits * scale) : Rational(digits, scale);
  return true;
}

bool Exact::sum(NodeId id, Rational& result) {
  result = 0;
  for (size_t i = 0; i < tree_[id].count; ++i) {
    const Rational* x = value(tree_.child(id, i));
    if (x == nullptr || bits(result) > kMaxBits || !affordable(result, *x)) return false;
    result += *x;
  }
  return true;
}

bool Exact::product(NodeId id, Rational& result) {
  result = 1;
  for (size_t i = 0; i < tree_[id].count; ++i) {
    const Rational* x = value(tree_.child(id, i));
    if (x == nullptr || bits(result) > kMaxBits || !affordable(result, *x)) return false;
    result *= *x;
  }
  return true;
}

bool Exact::quotient(NodeId id, Rational& result) {
  if (!copy(tree_.child(id, 0), result)) return false;
  const Rational* x = value(tree_.child(id, 1));
  if (x == nullptr || x->is_zero() || !affordable(result, *x)) return false;
  result /= *x;
  return true;
}

// Powers and roots that are rational: 2^10, 8^{2/3}, \sqrt{16}.
bool Exact::power(NodeId id, Rational& result) {
  Rational base;
  if (!copy(tree_.child(id, 0), base)) return false;
  Rational exponent;
  if (!copy(tree_.child(id, 1), exponent)) return false;
  if (tree_.kind(id) == Kind::Root) {
    if (exponent.is_zero()) return false;
    exponent = 1 / exponent;
  }
  if (base.is_zero()) {
    result = 0;
    return exponent > 0;
  }
  if (bits(exponent) > 32) {
    result = base;
    return base == 1;
  }
  const auto q = static_cast<uint64_t>(denominator(exponent));
  const auto p = static_cast<uint64_t>(abs(numerator(exponent)));
  if (q > 1 && !root(base, q, base)) return false;
  if (abs(base) != 1 && bits(base) * p > kMaxBits) return false;
  const size_t limbs = bits(base) * p / 64;
  if (!budget_.spend(1 + static_cast<int64_t>(limbs * limbs / 8))) return false;
  const uint64_t times = abs(base) == 1 ? p % 2 : p;
  result = Rational(power_of(numerator(base), times), power_of(denominator(base), times));
  if (exponent < 0) result = 1 / result;
  return true;
}

bool Exact::root(Rational of, uint64_t degree, Rational& result) {
  const bool negative = of < 0;
  if (degree > 64 || (negative && degree % 2 == 0)) return false;
  of = abs(of);
  const size_t limbs = bits(of) / 64;
  if (!budget_.spend(8 + static_cast<int64_t>(limbs * limbs))) return false;
  const Integer n = numerator(of), m = denominator(of);
  const Integer root_n = integer_root(n, degree), root_m = integer_root(m, degree);
  if (power_of(root_n, degree) != n || power_of(root_m, degree) != m) return false;
  result = Rational(negative ? -root_n : root_n, root_m);
  return true;
}

bool Exact::function(NodeId id, Rational& result) {
  const Fn fn = tree_.function(id);
  if (fn == Fn::Binomial) return binomial(id, result);
  const bool several = fn == Fn::Max || fn == Fn::Min || fn == Fn::Gcd || fn == Fn::Lcm;
  if (!several && fn != Fn::Abs && fn != Fn::Floor && fn != Fn::Ceil) return false;
  if (!copy(tree_.child(id, 0), result)) return false;
  if (fn == Fn::Abs) result = abs(result);
  if (fn == Fn::Floor || fn == Fn::Ceil) {
    Integer whole = numerator(result) / denominator(result);  // towards zero
    if (fn == Fn::Floor && result < whole) --whole;
    if (fn == Fn::Ceil && result > whole) ++whole;
    result = whole;
  }
  for (size_t i = 1; several && i < tree_[id].count; ++i) {
    const Rational* x = value(tree_.child(id, i));
    if (x == nullptr || !affordable(result, *x)) return false;
    if (fn == Fn::Max || fn == Fn::Min) {
      if ((*x > result) == (fn == Fn::Max)) result = *x;
      continue;
    }
    if (!is_integer(result) || !is_integer(*x) || bits(result) > kMaxBits) return false;
    const Integer a = numerator(result), b = numerator(*x);
    result = fn == Fn::Gcd ? Integer(gcd(a, b)) : Integer(lcm(a, b));
  }
  return true;
}

bool Exact::factorial(NodeId id, Rational& result) {
  int64_t n = 0;
  if (!small_integer(tree_.child(id, 0), 5000, n) || n < 0) return false;
  if (!budget_.spend(n + n * n / 64)) return false;
  Integer product = 1;
  for (int64_t i = 2; i <= n; ++i) product *= i;
  result = product;
  return true;
}

bool Exact::binomial(NodeId id, Rational& result) {
  int64_t n = 0, k = 0;
  if (!small_integer(tree_.child(id, 0), 1'000'000, n) || !small_integer(tree_.child(id, 1), 1'000'000, k))
    return false;
  if (n < 0) return false;
  if (k > n / 2) k = n - k;
  if (k < 0) {
    result = 0;
    return true;
  }
  if (k > 5000 || !budget_.spend(k + k * k / 16)) return false;
  Integer value = 1;
  for (int64_t i = 1; i <= k; ++i) value = value * (n - k + i) / i;
  result = value;
  return true;
}

}  // namespace thinktune::reward
