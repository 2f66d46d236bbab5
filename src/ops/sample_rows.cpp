#include "thinktune/ops/sample_rows.h"

#include <algorithm>

#include "element.h"
#include "gpu_kernels.h"
#include "logit_rows.h"
#include "thinktune/ops/device.h"

namespace thinktune::ops {
namespace {

SampledRows sample_part(const at::Tensor& logits_BV, const LogprobTransform& transform, bool greedy,
                        const at::Tensor& uniforms_B) {
  const FreeOrder free_order;  // LibTorch sums a row of a matrix in one order, but promises that of no cumulative sum
  const int64_t rows = logits_BV.size(0), vocabulary = logits_BV.size(1);
  const auto accumulating = logits_BV.options().dtype(accum_dtype(logits_BV));
  const LogitRows statistics{.logits_CV = logits_BV,
                             .targets_C = logits_BV.argmax(1),  // kept by every transform
                             .logprob_C = at::empty({rows}, accumulating),
                             .entropy_C = at::empty({rows}, accumulating),
                             .threshold_C = at::empty({rows}, accumulating),
                             .log_normalizer_C = at::empty({rows}, accumulating.dtype(at::kDouble))};
  row_statistics_composite(statistics, transform);
  if (greedy) return {statistics.targets_C.to(at::kInt), statistics.logprob_C.to(at::kFloat)};
  const at::Tensor logits = logits_BV.to(accumulating.dtype());
  const at::Tensor kept_BV = logits >= statistics.threshold_C.unsqueeze(1);
  const at::Tensor logprob_BV =
      logits.to(at::kDouble) / transform.temperature - statistics.log_normalizer_C.unsqueeze(1);
  const at::Tensor p_BV = logprob_BV.exp().masked_fill(kept_BV.logical_not(), 0.0);
  // Rounding may leave the total at or below the uniform number: then the last token that has a probability.
  const at::Tensor places_V = at::arange(vocabulary, statistics.targets_C.options());
  const at::Tensor last_B = at::where(p_BV > 0, places_V, at::zeros_like(places_V)).amax(1);
  const at::Tensor ids_B = at::minimum((p_BV.cumsum(1) <= uniforms_B.unsqueeze(1)).sum(1), last_B);
  return {ids_B.to(at::kInt), logprob_BV.gather(1, ids_B.unsqueeze(1)).squeeze(1).to(at::kFloat)};
}

// Beside the counters, in f64.
at::Tensor uniforms_of(const DrawCounters& counters) {
  const at::Tensor keys = counters.keys_BX.cpu().contiguous(), positions = counters.positions_B.cpu().contiguous();
  const at::Tensor uniforms_B = at::empty({positions.size(0)}, at::kDouble);
  for (int64_t b = 0; b < positions.size(0); ++b)
    mutable_data<double>(uniforms_B)[b] =
        core::random_uniform(data<core::RandomKey>(keys)[b], data<uint32_t>(positions)[b]);
  return uniforms_B.to(counters.positions_B.device());
}

}  // namespace

SampledRows sample_rows(const at::Tensor& logits_BV, const LogprobTransform& transform, bool greedy,
                        const DrawCounters& counters) {
  TT_CHECK(logits_BV.dim() == 2 && logits_BV.size(0) > 0 && logits_BV.size(1) > 0, "sample_rows: logits {}",
           shape(logits_BV));
  const int64_t rows = logits_BV.size(0);
  TT_CHECK(
      counters.keys_BX.scalar_type() == at::kByte && counters.positions_B.scalar_type() == at::kInt &&
          counters.keys_BX.numel() == rows * int64_t{sizeof(core::RandomKey)} && counters.positions_B.numel() == rows &&
          counters.keys_BX.device() == logits_BV.device() && counters.positions_B.device() == logits_BV.device(),
      "sample_rows: keys {} and positions {} for {} rows", shape(counters.keys_BX), shape(counters.positions_B), rows);
  if (gpu::has_kernels(logits_BV)) return gpu::sample_rows(logits_BV, transform, greedy, counters);
  const at::Tensor uniforms_B = greedy ? at::Tensor() : uniforms_of(counters);
  constexpr int64_t kMaxLogits = int64_t{1} << 23;  // of the f64 tables
  const int64_t part = std::clamp(kMaxLogits / logits_BV.size(1), int64_t{1}, rows);
  std::vector<at::Tensor> ids, logprobs;
  for (int64_t begin = 0; begin < rows; begin += part) {
    const int64_t count = std::min(part, rows - begin);
    const SampledRows sampled = sample_part(logits_BV.narrow(0, begin, count), transform, greedy,
                                            greedy ? uniforms_B : uniforms_B.narrow(0, begin, count));
    ids.push_back(sampled.ids_B);
    logprobs.push_back(sampled.logprob_B);
  }
  return {at::cat(ids), at::cat(logprobs)};
}

}  // namespace thinktune::ops
