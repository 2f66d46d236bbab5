// Arithmetic on balls: a complex centre and a bound on its distance from the true value (identity.h says what the
// bounds are). R is double or one of boost's fixed-precision floats.
#pragma once

#include <boost/math/constants/constants.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>
#include <limits>

namespace thinktune::reward {

constexpr double power_of_half(int n) {
  double value = 1;
  for (; n > 0; --n) value /= 2;
  return value;
}

template <class R>
struct Ball {
  R re = 0;
  R im = 0;  // 0 exactly if `real`
  double radius = 0;
  double size = 0;  // about |centre|, rounded up
  bool real = true;
  bool defined = true;
};

template <class R>
class BallMath {
 public:
  using B = Ball<R>;

  // Set once a real argument has given a value that is not.
  bool left_reals = false;

  static B undefined() {
    B ball;
    ball.defined = false;
    return ball;
  }

  static B real(R value, double radius) { return finish(std::move(value), R(0), true, radius); }
  // Rounded once; exact where the value is a small integer.
  static B constant(R value, bool is_exact) {
    B ball = real(std::move(value), 0);
    if (!is_exact) ball.radius = kEps * 4 * ball.size + kTiny;
    return ball;
  }
  static B imaginary_unit() { return finish(R(0), R(1), false, 0); }
  static B pi() { return constant(boost::math::constants::pi<R>(), false); }

  static B add(const B& a, const B& b) {
    if (!a.defined || !b.defined) return undefined();
    const bool is_real = a.real && b.real;
    B sum = finish(a.re + b.re, is_real ? R(0) : R(a.im + b.im), is_real, a.radius + b.radius);
    sum.radius += kEps * sum.size;
    return sum;
  }
  static B negate(B a) {
    a.re = -a.re;
    a.im = -a.im;
    return a;
  }
  static B multiply(const B& a, const B& b) {
    if (!a.defined || !b.defined) return undefined();
    const double radius =
        (a.size * b.radius + b.size * a.radius + a.radius * b.radius) * kUp + kEps * 4 * a.size * b.size;
    if (a.real && b.real) return finish(a.re * b.re, R(0), true, radius);
    return finish(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re, false, radius);
  }
  static B inverse(const B& a) {
    if (!a.defined || a.size <= 4 * a.radius + kTiny) return undefined();
    const double low = a.size * 0.7 - a.radius;  // at most |a| everywhere in the ball: size is at most √2·|a|
    if (low <= 0) return undefined();
    const double radius = a.radius / (low * low) * kUp + kEps * 8 / low;
    if (a.real) return finish(R(1) / a.re, R(0), true, radius);
    const R norm = a.re * a.re + a.im * a.im;
    return finish(a.re / norm, R(-a.im / norm), false, radius);
  }
  static B divide(const B& a, const B& b) { return multiply(a, inverse(b)); }

  static B integer_power(B base, int64_t exponent) {
    if (exponent < 0) return inverse(integer_power(std::move(base), -exponent));
    B result = constant(R(1), true);
    for (; exponent > 0; exponent >>= 1) {
      if (exponent & 1) result = multiply(result, base);
      if (exponent > 1) base = multiply(base, base);
      if (!result.defined || !base.defined) return undefined();
    }
    return result;
  }

  B square_root(const B& a) {
    using std::sqrt;
    if (!a.defined) return a;
    if (!a.real) return power(a, constant(R(0.5), true));
    if (a.size <= 4 * a.radius) return real(R(0), std::sqrt(a.size + a.radius) * kUp + kTiny);
    const bool negative = a.re < 0;
    if (negative) left_reals = true;
    R root = sqrt(negative ? R(-a.re) : a.re);
    const double size = std::sqrt(a.size);
    const double radius = a.radius / size * kUp + kEps * 4 * size;
    return negative ? finish(R(0), std::move(root), false, radius) : finish(std::move(root), R(0), true, radius);
  }

  // The principal logarithm.
  B logarithm(const B& a) {
    using std::atan2;
    using std::log;
    if (!a.defined || a.size <= 4 * a.radius + kTiny) return undefined();
    const double radius = a.radius / (a.size * 0.7 - a.radius) * kUp;
    if (a.real && a.re > 0) return rounded(log(a.re), R(0), true, radius);
    // On the cut the sign of the imaginary part decides, which a ball around it does not know.
    if (!a.real && a.re < 0 && size_of(a.im) <= a.radius) return undefined();
    left_reals |= a.real;
    if (a.real) return rounded(log(R(-a.re)), boost::math::constants::pi<R>(), false, radius);
    return rounded(log(R(a.re * a.re + a.im * a.im)) / 2, atan2(a.im, a.re), false, radius);
  }

  static B exponential(const B& a) {
    using std::cos;
    using std::exp;
    using std::sin;
    if (!a.defined || a.size > 600 || a.radius > 0.1) return undefined();
    const R size = exp(a.re);
    const double radius = size_of(size) * a.radius * 1.2 * kUp;
    if (a.real) return rounded(size, R(0), true, radius);
    return rounded(size * cos(a.im), size * sin(a.im), false, radius);
  }

  B power(const B& base, const B& exponent) {
    if (!base.defined || !exponent.defined) return undefined();
    if (exponent.radius == 0 && exponent.real && exponent.size < 1e6 && exponent.re == floor_of(exponent.re))
      return integer_power(base, static_cast<int64_t>(exponent.re));
    if (base.size <= 4 * base.radius || base.size == 0) {
      // 0^b is 0 where b is surely positive.
      if (base.size == 0 && base.radius == 0 && exponent.real && exponent.re > 0 && exponent.size > 4 * exponent.radius)
        return constant(R(0), true);
      return undefined();
    }
    return exponential(multiply(logarithm(base), exponent));
  }

  // Real, of a real number; the degree is a positive integer.
  B real_root(const B& a, int64_t degree) {
    if (!a.defined) return a;
    if (degree == 2) return square_root(a);
    const bool flips = a.real && a.re < 0 && degree % 2 == 1;
    if (a.real && a.size <= 4 * a.radius)
      return real(R(0), std::pow(a.size + a.radius, 1.0 / static_cast<double>(degree)) * kUp + kTiny);
    const B root = power(flips ? negate(a) : a, inverse(constant(R(degree), true)));
    return flips ? negate(root) : root;
  }

  static B absolute(const B& a) {
    using std::sqrt;
    if (!a.defined) return a;
    if (a.real) return real(a.re < 0 ? R(-a.re) : a.re, a.radius);
    return real(sqrt(R(a.re * a.re + a.im * a.im)), a.radius + kEps * 8 * a.size);
  }

  enum class Trig : uint8_t { Sin, Cos };
  static B wave(Trig which, const B& a) {
    using std::cos;
    using std::sin;
    if (!a.defined || !a.real || a.size > 1e6) return undefined();
    return rounded(which == Trig::Sin ? sin(a.re) : cos(a.re), R(0), true, a.radius * kUp + kEps * a.size);
  }
  static B arctangent(const B& a) {
    using std::atan;
    if (!a.defined || !a.real) return undefined();
    return rounded(atan(a.re), R(0), true, a.radius * kUp);
  }
  B arcsine(const B& a) {
    using std::asin;
    if (!a.defined || !a.real) return undefined();
    if (static_cast<double>(a.re < 0 ? R(-a.re - 1) : R(a.re - 1)) > a.radius) {
      left_reals = true;
      return undefined();
    }
    R clamped = a.re > 1 ? R(1) : a.re < -1 ? R(-1) : a.re;
    // asin bends without bound at ±1: |asin x - asin y| <= 2·√|x - y| there.
    const bool near = a.size > 0.99;
    return rounded(asin(clamped), R(0), true, near ? 2 * std::sqrt(a.radius) : a.radius * 8);
  }
  static B hyperbolic(const B& a, bool is_sine) {
    const B up = exponential(a), down = inverse(up);
    return multiply(add(up, is_sine ? negate(down) : down), constant(R(0.5), true));
  }

  // Rounded down or up; a ball around an integer is that integer.
  static B whole(const B& a, bool up) {
    using std::floor;
    if (!a.defined || !a.real || a.size > 1e15) return undefined();
    R nearest = floor_of(a.re + R(0.5));
    if (size_of(a.re - nearest) <= a.radius) return real(nearest, 0);
    return real(up ? R(floor_of(a.re) + 1) : floor_of(a.re), 0);
  }
  // The integer that the ball is around.
  static bool integer(const B& a, int64_t& value) {
    if (!a.defined || !a.real || a.size > 1e6 || a.radius > 1e-6) return false;
    const R nearest = floor_of(a.re + R(0.5));
    if (size_of(a.re - nearest) > a.radius) return false;
    value = static_cast<int64_t>(nearest);
    return true;
  }

  static double size_of(const R& x) { return std::fabs(static_cast<double>(x)) * kUp; }

 private:
  static constexpr double kUp = 1 + 1e-9;
  static constexpr double kTiny = 1e-290;
  static constexpr double kHuge = 1e280;
  static constexpr double kEps = power_of_half(std::numeric_limits<R>::digits - 1);

  static R floor_of(const R& x) {
    using std::floor;
    return floor(x);
  }
  // Beyond the range of the bounds themselves there is no value.
  static B finish(R re, R im, bool is_real, double radius) {
    B ball;
    ball.size = is_real ? size_of(re) : size_of(re) + size_of(im);
    ball.re = std::move(re);
    ball.im = std::move(im);
    ball.real = is_real;
    ball.radius = radius;
    ball.defined = ball.size < kHuge && radius < kHuge && (ball.size == 0 || ball.size > kTiny);
    return ball;
  }
  static B rounded(R re, R im, bool is_real, double radius) {
    B ball = finish(std::move(re), std::move(im), is_real, radius);
    ball.radius += kEps * 32 * ball.size + kTiny;
    return ball;
  }
};

}  // namespace thinktune::reward
