// Statistics: a block a row. Gradients: a block a piece of a row.
#pragma once

#include "kernels/cuda/logit_row.cuh"
#include "kernels/cuda/token_logprob.h"

namespace thinktune::kernels::cuda {

// Without truncation the row is read once: each thread corrects its sums when it meets a larger logit.
template <class E>
__device__ Kept online_set(const E* logits, int64_t vocabulary, const RowParameters& p) {
  float max = -INFINITY;
  double exp_sum = 0, exp_shift = 0;
  int bad = 0;
  const auto move_to = [&](float higher) {
    const double step = max > -INFINITY ? (static_cast<double>(max) - higher) * p.inverse_temperature : 0;
    const double factor = exp(step < kVanishes ? double{kVanishes} : step);
    exp_shift = (exp_shift + step * exp_sum) * factor;
    exp_sum *= factor;
    max = higher;
  };
  over_row<E>(vocabulary, threadIdx.x, kRowThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> pack = load_pack<n>(logits + i);
    float highest = -INFINITY;
    TT_UNROLL
    for (int j = 0; j < n; ++j) {
      highest = Max{}(to_float(pack.e[j]), highest);
      bad |= to_float(pack.e[j]) != to_float(pack.e[j]);
    }
    if (highest > max) move_to(highest);
    if (max == -INFINITY || max == INFINITY) return;
    float sum = 0, sum_shift = 0;
    TT_UNROLL
    for (int j = 0; j < n; ++j) {
      const float shift = shift_of(to_float(pack.e[j]), max, p.inverse_temperature), e = expf(shift);
      sum += e;
      sum_shift += e * shift;
    }
    exp_sum += sum;
    exp_shift += sum_shift;
  });
  const float row_max = reduce_block<kRowThreads>(max, Max{});
  bad = reduce_block<kRowThreads>(bad, Max{});
  const bool finite = bad == 0 && row_max > -INFINITY && row_max < INFINITY;
  if (finite) move_to(row_max);
  exp_sum = reduce_block<kRowThreads>(exp_sum, Sum{});
  exp_shift = reduce_block<kRowThreads>(exp_shift, Sum{});
  return {row_max, -INFINITY, finite ? exp_sum : NAN, finite ? exp_shift : NAN, finite};
}

template <class E>
__global__ void __launch_bounds__(kRowThreads)
    row_statistics_kernel(const E* logits, const int64_t* targets, int64_t vocabulary, RowParameters p,
                          RowStatistics out) {
  const int64_t row = blockIdx.x;
  logits += row * vocabulary;
  const bool truncates = (p.top_k > 0 && p.top_k < vocabulary) || p.top_p < 1;
  Kept kept = truncates ? kept_set(logits, vocabulary, p) : online_set(logits, vocabulary, p);
  if (threadIdx.x != 0) return;
  const float logit = to_float(logits[targets[row]]);
  if (logit < kept.threshold) {
    const double shift = (static_cast<double>(logit) - kept.max) / p.temperature;
    const double e = exp(shift);
    kept.exp += e;
    if (e > 0) kept.exp_shift += e * shift;
  }
  const double log_sum = log(kept.exp);
  const double log_normalizer = static_cast<double>(kept.max) / p.temperature + log_sum;
  const double entropy = log_sum - kept.exp_shift / kept.exp;
  out.logprob[row] = static_cast<float>(static_cast<double>(logit) / p.temperature - log_normalizer);
  out.entropy[row] = static_cast<float>(entropy < 0 ? 0 : entropy);  // a rounding below; a NaN stays
  out.threshold[row] = kept.threshold;
  out.log_normalizer[row] = log_normalizer;
}

inline constexpr int64_t kGradientPiece = 8192;  // logits of a block
inline constexpr unsigned kGradientThreads = 256;

// As kernels/impl/softmax_row.inl: log p = (logit − pivot) / temperature − rest, where the subtraction of near values
// is exact and the rest below one rounding.
template <class E>
__global__ void __launch_bounds__(kGradientThreads)
    row_gradients_kernel(E* logits, int64_t columns, int64_t pieces, double temperature, RowGradients rows) {
  const int64_t row = blockIdx.x / pieces, begin = blockIdx.x % pieces * kGradientPiece;
  const int64_t width = columns - begin < kGradientPiece ? columns - begin : kGradientPiece;
  const double log_normalizer = rows.log_normalizer[row];
  const double grad_logprob = rows.grad_logprob[row], grad_entropy = rows.grad_entropy[row];
  const float pivot = static_cast<float>(log_normalizer * temperature);
  const double exact_rest = log_normalizer - pivot / temperature;
  const float rest = static_cast<float>(exact_rest), inverse_temperature = static_cast<float>(1 / temperature);
  const float threshold = rows.threshold[row], entropy = rows.entropy[row];
  const float from_logprob = static_cast<float>(-grad_logprob / temperature);
  const float from_entropy = static_cast<float>(-grad_entropy / temperature);
  const int64_t target = rows.targets[row] - begin;
  logits += row * columns + begin;
  const auto gradient = [&](float logit, int64_t i) {
    if (i == target) {
      const double logprob = (static_cast<double>(logit) - pivot) / temperature - exact_rest, p = exp(logprob);
      double g = -grad_logprob * expm1(logprob);
      if (grad_entropy != 0 && p > 0) g -= grad_entropy * p * (logprob + entropy);
      return static_cast<float>(g / temperature);
    }
    if (logit < threshold) return 0.0f;
    float logprob = (logit - pivot) * inverse_temperature - rest;
    logprob = logprob < kVanishes ? kVanishes : logprob;
    return expf(logprob) * (from_logprob + from_entropy * (logprob + entropy));
  };
  // Pieces of a row are whole packs if the row is.
  const bool packed = columns % kVector<E> == 0;
  for (int64_t i = threadIdx.x * (packed ? kVector<E> : 1); i < width;
       i += kGradientThreads * (packed ? kVector<E> : 1)) {
    if (packed) {
      Pack<E, kVector<E>> pack = load_pack<kVector<E>>(logits + i);
      TT_UNROLL
      for (int j = 0; j < kVector<E>; ++j) pack.e[j] = from_float<E>(gradient(to_float(pack.e[j]), i + j));
      store_pack(logits + i, pack);
    } else {
      logits[i] = from_float<E>(gradient(to_float(logits[i]), i));
    }
  }
}

template <class E>
void row_statistics(const E* logits, const int64_t* targets, int64_t num_rows, int64_t vocabulary,
                    const SamplingTransform& transform, const RowStatistics& out, Stream stream) {
  check_row("row_statistics", vocabulary, transform);
  require_aligned("row_statistics", logits);
  launch("row_statistics", row_statistics_kernel<E>, {num_rows}, kRowThreads, 0, stream, logits, targets, vocabulary,
         row_parameters(transform), out);
}

template <class E>
void row_gradients(E* logits, int64_t num_rows, int64_t columns, double temperature, const RowGradients& rows,
                   Stream stream) {
  if (columns < 1 || !(temperature > 0)) refuse("row_gradients", "the columns or the temperature are not positive");
  require_aligned("row_gradients", logits);
  const int64_t pieces = blocks_for(columns, kGradientPiece);
  launch("row_gradients", row_gradients_kernel<E>, {num_rows * pieces}, kGradientThreads, 0, stream, logits, columns,
         pieces, temperature, rows);
}

#define TT_INSTANTIATE(E)                                                                            \
  template void row_statistics(const E*, const int64_t*, int64_t, int64_t, const SamplingTransform&, \
                               const RowStatistics&, Stream);                                        \
  template void row_gradients(E*, int64_t, int64_t, double, const RowGradients&, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
