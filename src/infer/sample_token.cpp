#include "thinktune/infer/sample_token.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "kernels/sampling_transform.h"
#include "kernels/softmax_row.h"
#include "thinktune/core/error.h"

namespace thinktune::infer {
namespace {

using kernels::Accum;

template <class E>
int64_t argmax(const E* logits, int64_t vocabulary) {
  const Accum<E> largest = kernels::row_max(logits, vocabulary).max;
  int64_t id = 0;
  while (id + 1 < vocabulary && kernels::widen(logits[id]) != largest) ++id;
  return id;
}

// The first token at which the cumulative probability exceeds `uniform`. Probabilities are made a block at a time and
// summed in order, so the choice does not depend on anything but the row. Rounding may leave the total below 1: then
// the last kept token.
template <class E>
int64_t invert_cumulative(const E* logits, int64_t vocabulary, const kernels::BasicRowTransform<Accum<E>>& row,
                          double temperature, double uniform) {
  constexpr int64_t kBlock = 512;
  Accum<E> scaled[kBlock], probability[kBlock];
  double cumulative = 0;
  int64_t last_kept = 0;
  for (int64_t begin = 0; begin < vocabulary; begin += kBlock) {
    const int64_t count = std::min(kBlock, vocabulary - begin);
    for (int64_t i = 0; i < count; ++i) {
      const Accum<E> logit = kernels::widen(logits[begin + i]);
      scaled[i] = logit >= row.threshold ? static_cast<Accum<E>>(logit / temperature - row.log_normalizer) : -INFINITY;
    }
    kernels::exp_row(scaled, count, probability);
    double block_sum = 0;
    for (int64_t i = 0; i < count; ++i) block_sum += probability[i];
    if (cumulative + block_sum <= uniform) {
      cumulative += block_sum;
      for (int64_t i = 0; i < count; ++i)
        if (probability[i] > 0) last_kept = begin + i;
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      if (probability[i] <= 0) continue;
      last_kept = begin + i;
      cumulative += probability[i];
      if (cumulative > uniform) return last_kept;
    }
  }
  return last_kept;
}

template <class E>
SampledToken sample_row(const E* logits, int64_t vocabulary, const SamplingOptions& sampling,
                        const core::RandomKey& key, uint32_t position, std::vector<Accum<E>>& scratch) {
  const bool greedy = sampling.temperature == 0;
  const kernels::SamplingTransform transform =
      greedy ? kernels::SamplingTransform{}
             : kernels::SamplingTransform{sampling.temperature, sampling.top_k, sampling.top_p};
  scratch.resize(static_cast<size_t>(vocabulary));
  const auto row = kernels::row_transform(logits, vocabulary, transform, scratch.data());
  if (!std::isfinite(row.log_normalizer)) return {.id = -1};
  const int64_t id =
      greedy ? argmax(logits, vocabulary)
             : invert_cumulative(logits, vocabulary, row, transform.temperature, core::random_uniform(key, position));
  const double logprob = static_cast<double>(kernels::widen(logits[id])) / transform.temperature - row.log_normalizer;
  return {static_cast<core::TokenId>(id), static_cast<float>(logprob)};
}

template <class E>
void sample_rows(const at::Tensor& logits_BV, const SamplingOptions& sampling, std::span<const core::RandomKey> keys,
                 std::span<const uint32_t> positions, std::vector<SampledToken>& out) {
  const auto* logits = static_cast<const E*>(logits_BV.const_data_ptr());
  const int64_t vocabulary = logits_BV.size(1);
  at::parallel_for(0, logits_BV.size(0), 1, [&](int64_t begin, int64_t end) {
    std::vector<Accum<E>> scratch;
    for (int64_t b = begin; b < end; ++b) {
      const auto i = static_cast<size_t>(b);
      out[i] = sample_row(logits + b * vocabulary, vocabulary, sampling, keys[i], positions[i], scratch);
    }
  });
}

}  // namespace

std::vector<SampledToken> sample_tokens(const at::Tensor& logits_BV, const SamplingOptions& sampling,
                                        std::span<const core::RandomKey> keys, std::span<const uint32_t> positions) {
  const auto rows = static_cast<size_t>(logits_BV.size(0));
  TT_CHECK(logits_BV.is_contiguous() && keys.size() == rows && positions.size() == rows,
           "logits of {} rows, {} keys, {} positions", rows, keys.size(), positions.size());
  std::vector<SampledToken> tokens(rows);
  switch (logits_BV.scalar_type()) {
    case at::kFloat:
      sample_rows<float>(logits_BV, sampling, keys, positions, tokens);
      break;
    case at::kBFloat16:
      sample_rows<kernels::Bf16>(logits_BV, sampling, keys, positions, tokens);
      break;
    case at::kDouble:
      sample_rows<double>(logits_BV, sampling, keys, positions, tokens);
      break;
    default:
      TT_CHECK(false, "logits of type {}", at::toString(logits_BV.scalar_type()));
  }
  for (size_t b = 0; b < rows; ++b)
    if (tokens[b].id < 0) throw LogitsNotFinite(static_cast<int64_t>(b), keys[b]);
  return tokens;
}

LogitsNotFinite::LogitsNotFinite(int64_t row, const core::RandomKey& key)
    : core::Error(
          core::ErrorKind::Device,
          fmt::format("the logits of sequence {} (prompt {}, sample {}) are not finite", row, key.prompt, key.sample),
          "the weights hold NaN or infinity: go back to an earlier checkpoint, or lower the learning rate") {}

}  // namespace thinktune::infer
