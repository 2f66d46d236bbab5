#include "reward/evaluate.h"

namespace thinktune::reward {
namespace {

// Steps of one operation and of one function.
template <class R>
constexpr int kOperation = std::is_same_v<R, double>    ? 1
                           : std::is_same_v<R, Float64> ? 2
                                                        : 6;
template <class R>
constexpr int kFunction = std::is_same_v<R, double>    ? 1
                          : std::is_same_v<R, Float64> ? 200
                                                       : 2000;

}  // namespace

template <class R>
Ball<R> Evaluator<R>::value(NodeId id) {
  if (!budget_.spend(kOperation<R>)) return M::undefined();
  const Node& node = tree_[id];
  if (!node.has_symbol && node.kind != Kind::Pi && node.kind != Kind::Euler) {
    if (const Rational* x = exact_.value(id)) return rational(*x);
  }
  switch (node.kind) {
    case Kind::Number:
      return number(id);
    case Kind::Symbol:
      return M::constant(R(values_[node.detail]), true);
    case Kind::Pi:
      return M::pi();
    case Kind::Euler:
      return M::constant(boost::math::constants::e<R>(), false);
    case Kind::Imaginary:
      return M::imaginary_unit();
    case Kind::Sum:
      return sum(id);
    case Kind::Product:
      return product(id);
    case Kind::Quotient:
      return M::divide(value(tree_.child(id, 0)), value(tree_.child(id, 1)));
    case Kind::Negative:
      return M::negate(value(tree_.child(id, 0)));
    case Kind::Percent:
      return M::divide(value(tree_.child(id, 0)), M::constant(R(100), true));
    case Kind::Quantity:
      return value(tree_.child(id, 0));
    case Kind::Bracket:
      return node.count == 1 ? value(tree_.child(id, 0)) : M::undefined();
    case Kind::Power:
      return power(id);
    case Kind::Root:
      return root(id);
    case Kind::Function:
      return function(id);
    case Kind::Factorial:
      return factorial(id);
    case Kind::Opaque:
      return opaque(id);
    default:
      return M::undefined();
  }
}

template <class R>
Ball<R> Evaluator<R>::rational(const Rational& x) {
  const Integer& n = numerator(x);
  const Integer& m = denominator(x);
  if (m == 1) return M::constant(R(n), msb(Integer(abs(n) + 1)) < 53);
  return M::constant(R(n) / R(m), false);
}

// A number that is too long to be kept exactly.
template <class R>
Ball<R> Evaluator<R>::number(NodeId id) {
  const Decimal& decimal = tree_.number(id);
  const int64_t exponent = decimal.exponent + static_cast<int64_t>(decimal.digits.size());
  if (std::abs(exponent) > 270) return M::undefined();
  R result = 0;
  const size_t kept = std::min<size_t>(decimal.digits.size(), 240);
  for (size_t i = 0; i < kept; ++i) result = result * 10 + (decimal.digits[i] - '0');
  using std::pow;
  result *= pow(R(10), R(static_cast<int>(exponent - static_cast<int64_t>(kept))));
  if (decimal.negative) result = -result;
  const double radius = M::size_of(result) * static_cast<double>(std::numeric_limits<R>::epsilon()) * 1000;
  return M::real(result, radius);
}

template <class R>
Ball<R> Evaluator<R>::sum(NodeId id) {
  B total = value(tree_.child(id, 0));
  for (size_t i = 1; i < tree_[id].count && total.defined; ++i) total = M::add(total, value(tree_.child(id, i)));
  return total;
}

template <class R>
Ball<R> Evaluator<R>::product(NodeId id) {
  B total = value(tree_.child(id, 0));
  for (size_t i = 1; i < tree_[id].count && total.defined; ++i) total = M::multiply(total, value(tree_.child(id, i)));
  return total;
}

template <class R>
Ball<R> Evaluator<R>::power(NodeId id) {
  const NodeId exponent_id = tree_.child(id, 1);
  const B base = value(tree_.child(id, 0));
  if (!base.defined) return base;
  // (-8)^{2/3} is 4: a fraction with an odd denominator means the real root, as \sqrt[3]{} does.
  if (const Rational* exponent = tree_[exponent_id].has_symbol ? nullptr : exact_.value(exponent_id)) {
    const Integer p = numerator(*exponent), q = denominator(*exponent);
    if (q == 1 && abs(p) <= 1'000'000) return M::integer_power(base, static_cast<int64_t>(p));
    if (!budget_.spend(kFunction<R>)) return M::undefined();
    if (q <= 1000 && abs(p) <= 1000 && base.real && (q == 2 || (q % 2 == 1 && base.re < 0)))
      return M::integer_power(math_.real_root(base, static_cast<int64_t>(q)), static_cast<int64_t>(p));
  }
  if (tree_.kind(tree_.child(id, 0)) == Kind::Euler) {
    if (!budget_.spend(kFunction<R>)) return M::undefined();
    return M::exponential(value(exponent_id));
  }
  if (!budget_.spend(2 * kFunction<R>)) return M::undefined();
  return math_.power(base, value(exponent_id));
}

template <class R>
Ball<R> Evaluator<R>::root(NodeId id) {
  const B of = value(tree_.child(id, 0));
  int64_t degree = 0;
  if (exact_.small_integer(tree_.child(id, 1), 1000, degree) && degree > 0) {
    if (!budget_.spend(degree == 2 ? 20 * kOperation<R> : 2 * kFunction<R>)) return M::undefined();
    return math_.real_root(of, degree);
  }
  if (!budget_.spend(2 * kFunction<R>)) return M::undefined();
  return math_.power(of, M::inverse(value(tree_.child(id, 1))));
}

template <class R>
Ball<R> Evaluator<R>::function(NodeId id) {
  const Fn fn = tree_.function(id);
  const NodeId of = tree_.child(id, 0);
  switch (fn) {
    case Fn::Abs:
      return M::absolute(value(of));
    case Fn::Floor:
    case Fn::Ceil:
      return M::whole(value(of), fn == Fn::Ceil);
    case Fn::Binomial:
      return binomial(id);
    case Fn::Max:
    case Fn::Min:
      return extreme(id);
    case Fn::Gcd:
    case Fn::Lcm:
      return M::undefined();
    default:
      break;
  }
  if (!budget_.spend(kFunction<R>)) return M::undefined();
  switch (fn) {
    case Fn::Ln:
      return math_.logarithm(value(of));
    case Fn::Log:
      return logarithm(id);
    case Fn::Exp:
      return M::exponential(value(of));
    default:
      return trigonometric(fn, of);
  }
}

template <class R>
Ball<R> Evaluator<R>::logarithm(NodeId id) {
  const B of = math_.logarithm(value(tree_.child(id, 0)));
  return M::divide(of, math_.logarithm(value(tree_.child(id, 1))));
}

template <class R>
Ball<R> Evaluator<R>::trigonometric(Fn fn, NodeId id) {
  using Trig = typename M::Trig;
  const B of = value(id);
  switch (fn) {
    case Fn::Sin:
      return M::wave(Trig::Sin, of);
    case Fn::Cos:
      return M::wave(Trig::Cos, of);
    case Fn::Tan:
      return M::divide(M::wave(Trig::Sin, of), M::wave(Trig::Cos, of));
    case Fn::Cot:
      return M::divide(M::wave(Trig::Cos, of), M::wave(Trig::Sin, of));
    case Fn::Sec:
      return M::inverse(M::wave(Trig::Cos, of));
    case Fn::Csc:
      return M::inverse(M::wave(Trig::Sin, of));
    case Fn::Arcsin:
      return math_.arcsine(of);
    case Fn::Arccos:
      return M::add(M::multiply(M::pi(), M::constant(R(0.5), true)), M::negate(math_.arcsine(of)));
    case Fn::Arctan:
      return M::arctangent(of);
    case Fn::Arccot:
      return M::add(M::multiply(M::pi(), M::constant(R(0.5), true)), M::negate(M::arctangent(of)));
    case Fn::Sinh:
      return M::hyperbolic(of, true);
    case Fn::Cosh:
      return M::hyperbolic(of, false);
    default:
      return M::divide(M::hyperbolic(of, true), M::hyperbolic(of, false));
  }
}

template <class R>
Ball<R> Evaluator<R>::extreme(NodeId id) {
  const bool is_max = tree_.function(id) == Fn::Max;
  B best = value(tree_.child(id, 0));
  for (size_t i = 1; i < tree_[id].count; ++i) {
    const B next = value(tree_.child(id, i));
    if (!best.defined || !next.defined || !best.real || !next.real) return M::undefined();
    if ((next.re > best.re) == is_max) best = next;
  }
  return best;
}

template <class R>
Ball<R> Evaluator<R>::factorial(NodeId id) {
  int64_t n = 0;
  if (!M::integer(value(tree_.child(id, 0)), n) || n < 0 || n > 200) return M::undefined();
  if (!budget_.spend(n * kOperation<R>)) return M::undefined();
  B total = M::constant(R(1), true);
  for (int64_t i = 2; i <= n; ++i) total = M::multiply(total, M::constant(R(i), true));
  return total;
}

template <class R>
Ball<R> Evaluator<R>::binomial(NodeId id) {
  const B n = value(tree_.child(id, 0));
  int64_t k = 0;
  if (!M::integer(value(tree_.child(id, 1)), k) || k > 200) return M::undefined();
  if (k < 0) return M::constant(R(0), true);
  if (!budget_.spend(2 * k * kOperation<R>)) return M::undefined();
  B total = M::constant(R(1), true);
  for (int64_t i = 0; i < k; ++i) {
    total = M::multiply(total, M::add(n, M::constant(R(-i), true)));
    total = M::divide(total, M::constant(R(i + 1), true));
  }
  return total;
}

// Some function of the parts that no other expression is: (c_0 + a_0)(c_1 + a_1)…
template <class R>
Ball<R> Evaluator<R>::opaque(NodeId id) {
  const double secret = values_[tree_[id].detail];
  B total = M::constant(R(secret), true);
  for (size_t i = 0; i < tree_[id].count; ++i) {
    const B shift = M::constant(R(secret * static_cast<double>(i + 2) + 0.625), true);
    total = M::multiply(total, M::add(shift, value(tree_.child(id, i))));
  }
  return total;
}

template class Evaluator<double>;
template class Evaluator<Float64>;
template class Evaluator<Float200>;

}  // namespace thinktune::reward
