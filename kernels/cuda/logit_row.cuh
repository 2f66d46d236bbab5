// One row of logits, worked on by one block: what sampling and training share (kernels/sampling_transform.h says what
// the numbers mean). A threshold is found by its bits: the largest key whose tokens, and those above, weigh at least as
// much as asked for. Weights are integers, so that their sums have no order.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/sampling_transform.h"

namespace thinktune::kernels::cuda {

inline constexpr unsigned kRowThreads = 512;
inline constexpr float kVanishes = -104;  // exp of it is 0; a logit of −infinity adds 0 · (−104), not NaN
inline constexpr float kWeightOfOne = 0x1p44f;
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 20;  // so many weights of one stay below 2^64

// Keys have the order of their logits; both zeros have the same.
template <class E>
inline constexpr int kKeyBits = 8 * static_cast<int>(sizeof(E));
template <class E>
__device__ __forceinline__ uint32_t key_of(float logit) {
  const uint32_t bits = __float_as_uint(logit + 0.0f) >> (32 - kKeyBits<E>);
  constexpr uint32_t kSign = 1u << (kKeyBits<E> - 1), kAll = kSign | (kSign - 1);
  return bits & kSign ? ~bits & kAll : bits | kSign;
}
template <class E>
__device__ __forceinline__ float logit_of(uint32_t key) {
  constexpr uint32_t kSign = 1u << (kKeyBits<E> - 1), kAll = kSign | (kSign - 1);
  return __uint_as_float((key & kSign ? key ^ kSign : ~key & kAll) << (32 - kKeyBits<E>));
}

struct RowParameters {
  float inverse_temperature;
  double temperature;
  int64_t top_k;
  double top_p;
};

inline RowParameters row_parameters(const SamplingTransform& t) {
  return {static_cast<float>(1 / t.temperature), t.temperature, t.top_k, t.top_p};
}

// The kept tokens of a row: sums are relative to max (kernels/softmax_row.h, ExpSums).
struct Kept {
  float max;
  float threshold;
  double exp, exp_shift;
  bool finite;  // no NaN, and a finite max
};

__device__ __forceinline__ float shift_of(float logit, float max, float inverse_temperature) {
  const float shift = (logit - max) * inverse_temperature;
  return shift < kVanishes ? kVanishes : shift;
}

// f(logit, position) for this thread's logits of the row.
template <class E, class F>
__device__ __forceinline__ void over_logits(const E* logits, int64_t vocabulary, F f) {
  over_row<E>(vocabulary, threadIdx.x, kRowThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> pack = load_pack<n>(logits + i);
    TT_UNROLL
    for (int j = 0; j < n; ++j) f(to_float(pack.e[j]), i + j);
  });
}

// The logit of the largest key whose tokens, and those above, weigh at least `target` ≥ 1 together; the row weighs that
// much. Three bits a pass.
template <class E, class Weight>
__device__ float weighted_threshold(const E* logits, int64_t vocabulary, unsigned long long target, Weight weight) {
  constexpr int kBits = 3, kCandidates = (1 << kBits) - 1;
  TT_SHARED(unsigned long long, totals, kCandidates);
  uint32_t prefix = 0;
  for (int shift = kKeyBits<E> - kBits; shift > -kBits; shift -= kBits) {
    const int low = shift < 0 ? 0 : shift;  // the last pass has what is left of the bits
    const int candidates = (1 << (shift < 0 ? kBits + shift : kBits)) - 1;
    unsigned long long sums[kCandidates] = {};
    over_logits(logits, vocabulary, [&](float logit, int64_t) {
      const uint32_t key = key_of<E>(logit);
      const unsigned long long w = weight(logit);
      TT_UNROLL
      for (int j = 0; j < kCandidates; ++j)
        if (key >= (prefix | static_cast<uint32_t>(j + 1) << low)) sums[j] += w;
    });
    __syncthreads();
    if (threadIdx.x < kCandidates) totals[threadIdx.x] = 0;
    __syncthreads();
    TT_UNROLL
    for (int j = 0; j < kCandidates; ++j) {
      const unsigned long long sum = reduce_lanes(sums[j], Sum{});
      if (threadIdx.x % kWarpSize == 0) atomicAdd(&totals[j], sum);
    }
    __syncthreads();
    uint32_t chosen = 0;
    for (int j = 0; j < candidates; ++j)
      if (totals[j] >= target) chosen = static_cast<uint32_t>(j + 1);
    prefix |= chosen << low;
  }
  return logit_of<E>(prefix);
}

struct RowMaximum {
  float max;
  bool finite;
};
template <class E>
__device__ RowMaximum row_maximum(const E* logits, int64_t vocabulary) {
  float max = -INFINITY;
  int bad = 0;
  over_logits(logits, vocabulary, [&](float logit, int64_t) {
    max = Max{}(logit, max);
    bad |= logit != logit;
  });
  max = reduce_block<kRowThreads>(max, Max{});
  bad = reduce_block<kRowThreads>(bad, Max{});
  return {max, bad == 0 && max > -INFINITY && max < INFINITY};
}

// top_k, then top_p of what is left, as kernels/sampling_transform.cpp; −infinity: all tokens are kept.
template <class E>
__device__ float kept_threshold(const E* logits, int64_t vocabulary, float max, const RowParameters& p) {
  float threshold = -INFINITY;
  if (p.top_k > 0 && p.top_k < vocabulary)
    threshold =
        weighted_threshold(logits, vocabulary, static_cast<unsigned long long>(p.top_k), [](float) { return 1ull; });
  if (p.top_p >= 1) return threshold;
  const auto weight = [&](float logit) {
    if (logit < threshold) return 0ull;
    return static_cast<unsigned long long>(expf(shift_of(logit, max, p.inverse_temperature)) * kWeightOfOne);
  };
  unsigned long long total = 0;
  over_logits(logits, vocabulary, [&](float logit, int64_t) { total += weight(logit); });
  total = reduce_block<kRowThreads>(total, Sum{});
  const auto target = static_cast<unsigned long long>(ceil(p.top_p * static_cast<double>(total)));
  return weighted_threshold(logits, vocabulary, target < 1 ? 1 : target < total ? target : total, weight);
}

template <class E>
__device__ Kept kept_set(const E* logits, int64_t vocabulary, const RowParameters& p) {
  const RowMaximum row = row_maximum(logits, vocabulary);
  if (!row.finite) return {row.max, -INFINITY, NAN, NAN, false};
  const float threshold = kept_threshold(logits, vocabulary, row.max, p);
  double exp = 0, exp_shift = 0;
  over_row<E>(vocabulary, threadIdx.x, kRowThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> pack = load_pack<n>(logits + i);
    float sum = 0, sum_shift = 0;  // of one pack in float: few GPUs are fast at double
    TT_UNROLL
    for (int j = 0; j < n; ++j) {
      const float logit = to_float(pack.e[j]);
      const float shift = logit < threshold ? kVanishes : shift_of(logit, row.max, p.inverse_temperature);
      const float e = expf(shift);
      sum += e;
      sum_shift += e * shift;
    }
    exp += sum;
    exp_shift += sum_shift;
  });
  exp = reduce_block<kRowThreads>(exp, Sum{});
  exp_shift = reduce_block<kRowThreads>(exp_shift, Sum{});
  return {row.max, threshold, exp, exp_shift, true};
}

inline void check_row(const char* kernel, int64_t vocabulary, const SamplingTransform& t) {
  if (vocabulary < 1 || vocabulary > kMaxVocabulary) refuse(kernel, "the vocabulary is not 1 … 2^20");
  if (!(t.temperature > 0) || t.top_k < 0 || !(t.top_p > 0) || t.top_p > 1)
    refuse(kernel, "temperature, top_k or top_p is out of its range");
}

}  // namespace thinktune::kernels::cuda
