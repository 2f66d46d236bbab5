// A block a row. The kept probabilities are summed in 16 segments, one a warp; the drawn number picks a segment, and
// the first warp walks through it in token order.
#pragma once

#include "kernels/cuda/logit_row.cuh"
#include "kernels/cuda/sample_tokens.h"

namespace thinktune::kernels::cuda {

struct Words4 {
  uint32_t w[4];
};

// Philox4x32-10 as core::philox4x32.
__device__ __forceinline__ Words4 philox(Words4 c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(0xD2511F53u, c.w[0]), low0 = 0xD2511F53u * c.w[0];
    const uint32_t high1 = __umulhi(0xCD9E8D57u, c.w[2]), low1 = 0xCD9E8D57u * c.w[2];
    c = {{high1 ^ c.w[1] ^ key0, low1, high0 ^ c.w[3] ^ key1, low0}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

// core::random_uniform.
__device__ __forceinline__ double uniform_of(const core::RandomKey& key, uint32_t position) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const Words4 outer = philox({{low(key.step), high(key.step), static_cast<uint32_t>(key.stream), 0x7474756Eu}},
                              low(key.seed), high(key.seed));
  const Words4 inner = philox({{position, key.sample, low(key.prompt), high(key.prompt)}}, outer.w[0], outer.w[1]);
  const uint64_t bits = uint64_t{inner.w[1]} << 32 | inner.w[0];
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

template <class E>
__device__ int first_largest(const E* logits, int64_t vocabulary, float max) {
  int first = static_cast<int>(vocabulary);
  over_logits(logits, vocabulary, [&](float logit, int64_t i) {
    if (logit == max && i < first) first = static_cast<int>(i);
  });
  return -reduce_block<kRowThreads>(-first, Max{});
}

// What a token weighs in the draw, relative to the largest logit; 0 for one that is not kept.
__device__ __forceinline__ float weight_of(float logit, const Kept& kept, float inverse_temperature) {
  return logit < kept.threshold ? 0.0f : expf(shift_of(logit, kept.max, inverse_temperature));
}

struct Segment {
  int64_t begin, end;
};
template <class E>
__device__ __forceinline__ Segment segment_of(int64_t vocabulary, unsigned warp) {
  constexpr int64_t kWarps = kRowThreads / kWarpSize;
  const int64_t length = blocks_for(blocks_for(vocabulary, kWarps), kVector<E>) * kVector<E>;
  const int64_t begin = length * warp < vocabulary ? length * warp : vocabulary;
  return {begin, begin + length < vocabulary ? begin + length : vocabulary};
}

// The first token of the segment at which the sum, `before` in front of it, exceeds `target`; if rounding keeps the sum
// below, the last one that has any weight. A whole warp calls it.
template <int n, class E>
__device__ int walk(const E* logits, Segment segment, double before, double target, const Kept& kept,
                    float inverse_temperature) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  int last = -1;
  for (int64_t base = segment.begin; base < segment.end; base += kWarpSize * n) {
    const int64_t i = base + lane * n;
    float weights[n] = {};
    double sum = 0;
    if (i < segment.end) {
      const Pack<E, n> pack = load_pack<n>(logits + i);
      TT_UNROLL
      for (int j = 0; j < n; ++j) {
        weights[j] = weight_of(to_float(pack.e[j]), kept, inverse_temperature);
        sum += weights[j];
        if (weights[j] > 0) last = static_cast<int>(i) + j;
      }
    }
    double up_to = sum;  // of lanes 0 … this one
    for (int distance = 1; distance < static_cast<int>(kWarpSize); distance *= 2) {
      const double below = __shfl_up_sync(kFullWarp, up_to, static_cast<unsigned>(distance));
      if (lane >= distance) up_to += below;
    }
    double running = __shfl_up_sync(kFullWarp, up_to, 1u);
    running = before + (lane == 0 ? 0 : running);
    const unsigned above = __ballot_sync(kFullWarp, before + up_to > target);
    if (above != 0) {
      int id = last;
      TT_UNROLL
      for (int j = n - 1; j >= 0; --j) {  // from behind, so that the first one stays
        double sum_to_j = running;
        for (int k = 0; k <= j; ++k) sum_to_j += weights[k];
        if (weights[j] > 0 && sum_to_j > target) id = static_cast<int>(i) + j;
      }
      return __shfl_sync(kFullWarp, id, __ffs(static_cast<int>(above)) - 1);
    }
    before += __shfl_sync(kFullWarp, up_to, static_cast<int>(kWarpSize) - 1);
  }
  return reduce_lanes(last, Max{});
}

template <class E>
__device__ int drawn_token(const E* logits, int64_t vocabulary, const Kept& kept, float inverse_temperature,
                           double uniform) {
  constexpr unsigned kWarps = kRowThreads / kWarpSize;
  TT_SHARED(double, sums, kWarps);
  TT_SHARED(int, drawn, 1);
  const unsigned warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const bool packed = vocabulary % kVector<E> == 0;
  const Segment own = segment_of<E>(vocabulary, warp);
  double sum = 0;
  over_row<E>(packed ? own.end - own.begin : 0, lane, kWarpSize, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> pack = load_pack<n>(logits + own.begin + i);
    TT_UNROLL
    for (int j = 0; j < n; ++j) sum += weight_of(to_float(pack.e[j]), kept, inverse_temperature);
  });
  for (int64_t i = own.begin + lane; !packed && i < own.end; i += kWarpSize)
    sum += weight_of(to_float(logits[i]), kept, inverse_temperature);
  sum = reduce_lanes(sum, Sum{});
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    double total = 0;
    for (unsigned w = 0; w < kWarps; ++w) total += sums[w];
    const double target = uniform * total;
    double up_to = 0, before = 0;  // the segments that were passed; those in front of the chosen one
    unsigned chosen = 0;           // if rounding lets none exceed the target, the last one of any weight
    for (unsigned w = 0; w < kWarps && up_to <= target; ++w) {
      const double weight = sums[w];
      if (weight <= 0) continue;
      chosen = w;
      before = up_to;
      up_to += weight;
    }
    const Segment segment = segment_of<E>(vocabulary, chosen);
    const int id = packed ? walk<kVector<E>>(logits, segment, before, target, kept, inverse_temperature)
                          : walk<1>(logits, segment, before, target, kept, inverse_temperature);
    if (lane == 0) drawn[0] = id;
  }
  __syncthreads();
  return drawn[0];
}

template <class E>
__global__ void __launch_bounds__(kRowThreads)
    sample_tokens_kernel(const E* logits, int64_t vocabulary, RowParameters p, bool greedy, const core::RandomKey* keys,
                         const uint32_t* positions, int32_t* ids, float* logprobs) {
  const int64_t row = blockIdx.x;
  logits += row * vocabulary;
  const Kept kept = kept_set(logits, vocabulary, p);
  if (!kept.finite) {
    if (threadIdx.x == 0) {
      ids[row] = -1;
      logprobs[row] = NAN;
    }
    return;
  }
  const int id =
      greedy ? first_largest(logits, vocabulary, kept.max)
             : drawn_token(logits, vocabulary, kept, p.inverse_temperature, uniform_of(keys[row], positions[row]));
  if (threadIdx.x != 0) return;
  const double log_normalizer = static_cast<double>(kept.max) / p.temperature + log(kept.exp);
  ids[row] = id;
  logprobs[row] = static_cast<float>(static_cast<double>(to_float(logits[id])) / p.temperature - log_normalizer);
}

template <class E>
void sample_tokens(const E* logits, int64_t batch, int64_t vocabulary, const SamplingTransform& transform,
                   const core::RandomKey* keys, const uint32_t* positions, int32_t* ids, float* logprobs,
                   Stream stream) {
  const bool greedy = transform.temperature == 0;
  const SamplingTransform applied = greedy ? SamplingTransform{} : transform;
  check_row("sample_tokens", vocabulary, applied);
  require_aligned("sample_tokens", logits);
  launch("sample_tokens", sample_tokens_kernel<E>, {batch}, kRowThreads, 0, stream, logits, vocabulary,
         row_parameters(applied), greedy, keys, positions, ids, logprobs);
}

#define TT_INSTANTIATE(E)                                                                                   \
  template void sample_tokens(const E*, int64_t, int64_t, const SamplingTransform&, const core::RandomKey*, \
                              const uint32_t*, int32_t*, float*, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
