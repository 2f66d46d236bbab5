#include "thinktune/ops/masked_attention.h"

#include <ATen/ATen.h>

#include <limits>

namespace thinktune::ops {

at::Tensor attention_mask(int64_t num_queries, int64_t num_keys, int64_t window, at::Device device) {
  const int64_t before = num_keys - num_queries;
  const bool cuts = window > 0 && window < num_keys;
  if (before == 0 && !cuts) return {};
  const at::Tensor causal_RS =
      at::ones({num_queries, num_keys}, at::TensorOptions().dtype(at::kBool).device(device)).tril(before);
  return cuts ? causal_RS.triu(before - window + 1) : causal_RS;
}

at::Tensor masked_attention(const at::Tensor& q_BNRH, const at::Tensor& k_BNSH, const at::Tensor& v_BNSH,
                            const at::Tensor& mask_RS, const AttentionOptions& options) {
  if (options.softcap == 0) {
    const std::optional<at::Tensor> mask = mask_RS.defined() ? std::optional<at::Tensor>(mask_RS) : std::nullopt;
    return at::scaled_dot_product_attention(q_BNRH, k_BNSH, v_BNSH, mask, 0.0, !mask.has_value(), options.scale);
  }
  // LibTorch's attention has no soft cap: written out, softmax in at least f32.
  const double cap = options.softcap;
  at::Tensor scores = at::matmul(q_BNRH, k_BNSH.transpose(-2, -1)) * options.scale;
  scores = at::tanh(scores / cap) * cap;
  const at::Tensor seen = mask_RS.defined()
                              ? mask_RS
                              : at::ones({q_BNRH.size(-2), k_BNSH.size(-2)}, q_BNRH.options().dtype(at::kBool)).tril();
  scores = scores.masked_fill(seen.logical_not(), -std::numeric_limits<double>::infinity());
  const at::ScalarType dtype = q_BNRH.scalar_type();
  return at::matmul(at::softmax(scores, -1, dtype == at::kDouble ? at::kDouble : at::kFloat).to(dtype), v_BNSH);
}

}  // namespace thinktune::ops
