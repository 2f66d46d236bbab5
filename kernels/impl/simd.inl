// Vectors of one register's width, included by each instruction-set file inside its own namespace with TT_VECTOR_BYTES
// set to 16, 32 or 64. They are the compiler's own vector types (GCC and Clang): every loop below is vector code by
// construction, whatever the optimiser makes of it, and the order of each sum stands in the source. Nothing from the
// standard library may be called here but extern functions of libm: an inline one could be the copy that the linker
// keeps for the whole program, with this file's instructions.

typedef float F32 __attribute__((vector_size(TT_VECTOR_BYTES)));
typedef double F64 __attribute__((vector_size(TT_VECTOR_BYTES)));
typedef int32_t I32 __attribute__((vector_size(TT_VECTOR_BYTES)));
typedef int64_t I64 __attribute__((vector_size(TT_VECTOR_BYTES)));
typedef uint32_t U32 __attribute__((vector_size(TT_VECTOR_BYTES)));
typedef uint16_t U16 __attribute__((vector_size(TT_VECTOR_BYTES / 2)));  // as many as floats in a register

#define TT_INLINE [[gnu::always_inline]] inline
#define TT_INLINE_LAMBDA __attribute__((always_inline))

template <class A>
struct VecOf;
template <>
struct VecOf<float> {
  using V = F32;
  using I = I32;
};
template <>
struct VecOf<double> {
  using V = F64;
  using I = I64;
};
template <class A>
using Vec = typename VecOf<A>::V;
template <class A>
using IntVec = typename VecOf<A>::I;
template <class A>
inline constexpr int64_t kLanes = TT_VECTOR_BYTES / static_cast<int64_t>(sizeof(A));

template <class T, T... I>
struct Indices {};
// 0, 1, …, n − 1
#ifdef __clang__
template <int n>
using FirstIndices = __make_integer_seq<Indices, int, n>;
#else
template <int n>
using FirstIndices = Indices<int, __integer_pack(n)...>;
#endif

template <class A>
TT_INLINE Vec<A> broadcast(A a) {
  return a - Vec<A>{};  // not {} + a: that turns -0 into 0 and is an addition
}

TT_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
TT_INLINE double square_root(double x) { return __builtin_sqrt(x); }

// How much of a vector a step of a loop covers.
struct Whole {};
struct Part {
  int64_t count;  // lanes in use, from lane 0
};

// body(i, Whole or Part) for i = 0, lanes, 2·lanes, …
template <class A, class Body>
TT_INLINE void over_row(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes<A> <= n; i += kLanes<A>) body(i, Whole{});
  if (i < n) body(i, Part{n - i});
}

// Bf16 to float and back.
TT_INLINE F32 widen_lanes(U16 h) {
#if TT_VECTOR_BYTES == 64
  return (F32)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#elif TT_VECTOR_BYTES == 32
  return (F32)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)h), 16);
#else
  return (F32)(__builtin_convertvector(h, U32) << 16);
#endif
}
TT_INLINE U32 rounded_to_bf16(F32 v) {  // the bits of a float whose lower half is then to be dropped
  const U32 bits = (U32)v;
  const U32 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return (v != v) ? (U32{} + 0x7fc00000u) : rounded;
}
TT_INLINE U16 narrow_lanes(F32 v) {
  const U32 upper = rounded_to_bf16(v) >> 16;
#if TT_VECTOR_BYTES == 64
  return (U16)_mm512_cvtepi32_epi16((__m512i)upper);
#else
  return __builtin_convertvector(upper, U16);
#endif
}

TT_INLINE Vec<float> load(const float* p, Whole) {
  F32 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
TT_INLINE Vec<double> load(const double* p, Whole) {
  F64 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
TT_INLINE Vec<float> load(const Bf16* p, Whole) {
  U16 v;
  __builtin_memcpy(&v, p, sizeof v);
  return widen_lanes(v);
}
// Lanes that are not in use are 0.
#if TT_VECTOR_BYTES == 64
TT_INLINE uint32_t lanes_in_use(Part part) { return (1u << part.count) - 1; }
TT_INLINE F32 load(const float* p, Part part) {
  return (F32)_mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes_in_use(part)), p);
}
TT_INLINE F64 load(const double* p, Part part) {
  return (F64)_mm512_maskz_loadu_pd(static_cast<__mmask8>(lanes_in_use(part)), p);
}
TT_INLINE F32 load(const Bf16* p, Part part) {
  return widen_lanes((U16)_mm256_maskz_loadu_epi16(static_cast<__mmask16>(lanes_in_use(part)), p));
}
#else
template <class E>
TT_INLINE Vec<Accum<E>> load(const E* p, Part part) {
  E lanes[kLanes<Accum<E>>] = {};
  for (int64_t i = 0; i < part.count; ++i) lanes[i] = p[i];
  return load(lanes, Whole{});
}
#endif

TT_INLINE void store(float* p, F32 v, Whole) { __builtin_memcpy(p, &v, sizeof v); }
TT_INLINE void store(double* p, F64 v, Whole) { __builtin_memcpy(p, &v, sizeof v); }
TT_INLINE void store(Bf16* p, F32 v, Whole) {
  const U16 h = narrow_lanes(v);
  __builtin_memcpy(p, &h, sizeof h);
}
#if TT_VECTOR_BYTES == 64
TT_INLINE void store(float* p, F32 v, Part part) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>(lanes_in_use(part)), (__m512)v);
}
TT_INLINE void store(double* p, F64 v, Part part) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(lanes_in_use(part)), (__m512d)v);
}
TT_INLINE void store(Bf16* p, F32 v, Part part) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>(lanes_in_use(part)), (__m256i)narrow_lanes(v));
}
#else
template <class E>
TT_INLINE void store(E* p, Vec<Accum<E>> v, Part part) {
  E lanes[kLanes<Accum<E>>];
  store(lanes, v, Whole{});
  for (int64_t i = 0; i < part.count; ++i) p[i] = lanes[i];
}
#endif

// The value that a store as E and a load give.
template <class E>
TT_INLINE Vec<Accum<E>> rounded(Vec<Accum<E>> v) {
  if constexpr (sizeof(E) == 2)
    return (F32)(rounded_to_bf16(v) & 0xffff0000u);
  else
    return v;
}

// v, with `other` in the lanes that are not in use.
template <class A>
TT_INLINE Vec<A> fill(Vec<A> v, A, Whole) {
  return v;
}
template <class V, int... I>
TT_INLINE V lane_numbers(Indices<int, I...>) {
  return V{I...};
}
template <class A>
TT_INLINE Vec<A> fill(Vec<A> v, A other, Part part) {
  const auto lane = lane_numbers<IntVec<A>>(FirstIndices<kLanes<A>>{});
  using Number = decltype(+lane[0]);
  return lane < static_cast<Number>(part.count) ? v : broadcast(other);
}

// Lane i of the result: lane i + by, around.
template <int by, class V, int... I>
TT_INLINE V turned(V v, Indices<int, I...>) {
  return __builtin_shufflevector(v, v, ((I + by) % static_cast<int>(sizeof...(I)))...);
}

// Sum of the lanes: halves onto halves.
template <class A, int width = static_cast<int>(kLanes<A>) / 2>
TT_INLINE A sum_lanes(Vec<A> v) {
  v += turned<width>(v, FirstIndices<kLanes<A>>{});
  if constexpr (width > 1)
    return sum_lanes<A, width / 2>(v);
  else
    return v[0];
}
template <class A, int width = static_cast<int>(kLanes<A>) / 2>
TT_INLINE A max_lanes(Vec<A> v) {
  const Vec<A> other = turned<width>(v, FirstIndices<kLanes<A>>{});
  v = other > v ? other : v;
  if constexpr (width > 1)
    return max_lanes<A, width / 2>(v);
  else
    return v[0];
}

// exp for float. x = n·ln2 + r with |r| ≤ ln2/2; exp(r) = 1 + r + r²·q(r), q interpolated at the six Chebyshev nodes
// (relative error 7.6e-10 with these coefficients); the rest is rounding, below 2 units in the last place in all. ln2
// is split, the upper part with nine zero bits at its end, so that n times it is exact. 2^n is multiplied in two steps,
// for n = 128. What would be denormal is 0: processors take a hundred cycles for an instruction with such a result.
TT_INLINE F32 exp_lanes(F32 x) {
  constexpr float kMagic = 0x1.8p23f;    // adding it rounds to an integer, found in the lower bits
  constexpr float kLeast = -87.336540f;  // its exp is the smallest normal number
  const auto is_less = x < kLeast;       // -infinity too; a NaN passes
  x = is_less ? broadcast(kLeast) : x;
  x = x > 89.0f ? broadcast(89.0f) : x;  // exp(89) is infinite
  const F32 t = x * 0x1.715476p+0f + kMagic;
  const I32 n = (I32)t - __builtin_bit_cast(int32_t, kMagic);
  const F32 m = t - kMagic;
  const F32 r = (x - m * 0x1.62e4p-1f) - m * 0x1.7f7d1cp-20f;
  F32 q = r * 0x1.a1256cp-13f + 0x1.6d43bp-10f;
  q = q * r + 0x1.1110ep-7f;
  q = q * r + 0x1.5554e8p-5f;
  q = q * r + 0x1.555556p-3f;
  q = q * r + 0.5f;
  const F32 y = (q * (r * r) + r) + 1.0f;
  const I32 half = n >> 1;
  const F32 scale1 = (F32)((U32)(half + 127) << 23);
  const F32 scale2 = (F32)((U32)(n - half + 127) << 23);
  return is_less ? F32{} : y * scale1 * scale2;
}
// libm's for double: the twin that tests compare with shares no polynomial with what it checks.
TT_INLINE F64 exp_lanes(F64 x) {
  F64 y;
  for (int64_t i = 0; i < kLanes<double>; ++i) y[i] = ::exp(x[i]);
  return y;
}

// A running sum in double of float or double lanes.
struct DoubleSum {
  F64 sum[2] = {};
  TT_INLINE void add(F64 v) { sum[0] += v; }
  TT_INLINE void add(F32 v) {
#if TT_VECTOR_BYTES == 64
    sum[0] += (F64)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v));
    sum[1] += (F64)_mm512_cvtps_pd((__m256)_mm512_extractf64x4_pd((__m512d)v, 1));
#elif TT_VECTOR_BYTES == 32
    sum[0] += (F64)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
    sum[1] += (F64)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#else
    sum[0] += F64{v[0], v[1]};
    sum[1] += F64{v[2], v[3]};
#endif
  }
  TT_INLINE double total() const { return sum_lanes<double>(sum[0] + sum[1]); }
};

// sum_tree<n>(v): n vectors become one, whose lanes hold the sums of the lanes of v[0], v[1], … in order, when n is the
// number of lanes. Each stage adds halves of groups: with groups of S lanes, (a, b) → the groups of a, then those of b,
// each folded to S/2 lanes.
template <int kNumLanes, int S>
constexpr int fold_index(int lane, int upper) {
  const int group = lane / (S / 2), groups = kNumLanes / S;
  return (group % groups) * S + lane % (S / 2) + (group >= groups ? kNumLanes : 0) + (upper ? S / 2 : 0);
}
template <int S, class V, int... I>
TT_INLINE V fold(V a, V b, Indices<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, fold_index<n, S>(I, 0)...) +
         __builtin_shufflevector(a, b, fold_index<n, S>(I, 1)...);
}
// folded: so many vectors are already in each of v.
template <class A, int n, int folded = 1>
TT_INLINE Vec<A> sum_tree(const Vec<A>* v) {
  constexpr int lanes = kLanes<A>;
  if constexpr (n == 1)
    return v[0];
  else
    return fold<2 * lanes / (n * folded)>(sum_tree<A, n / 2, folded>(v), sum_tree<A, n / 2, folded>(v + n / 2),
                                          FirstIndices<lanes>{});
}
