// The element types of the kernels, and what they are computed in.
//
//   element   accumulation
//   float     float
//   Bf16      float
//   double    double        the twin that tests compare with
#pragma once

#include <cstdint>

namespace thinktune::kernels {

// bfloat16: the upper half of a float.
struct Bf16 {
  uint16_t bits;
};

template <class E>
struct AccumOf {
  using type = E;
};
template <>
struct AccumOf<Bf16> {
  using type = float;
};
template <class E>
using Accum = typename AccumOf<E>::type;

// always_inline: the instruction-set files (kernels/README.md) must leave no shared copy of a function behind.
[[gnu::always_inline]] inline float widen(Bf16 x) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16);
}
[[gnu::always_inline]] inline float widen(float x) { return x; }
[[gnu::always_inline]] inline double widen(double x) { return x; }

// Round to nearest, ties to even; every NaN becomes the quiet NaN 0x7fc0.
template <class E>
[[gnu::always_inline]] inline E narrow(Accum<E> x) {
  return x;
}
template <>
[[gnu::always_inline]] inline Bf16 narrow<Bf16>(float x) {
  if (x != x) return Bf16{0x7fc0};
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  return Bf16{static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace thinktune::kernels
