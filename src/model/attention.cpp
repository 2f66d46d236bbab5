#include "thinktune/model/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace thinktune::model {

WindowKinds::WindowKinds(const ModelConfig& config) {
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const int64_t window = window_of(config, layer);
    const auto found = std::find(windows_.begin(), windows_.end(), window);
    kind_of_layer_.push_back(static_cast<size_t>(found - windows_.begin()));
    if (found == windows_.end()) windows_.push_back(window);
  }
}

at::Tensor attention_mask(int64_t num_queries, int64_t num_keys, int64_t window) {
  const int64_t before = num_keys - num_queries;
  const bool cuts = window > 0 && window < num_keys;
  if (before == 0 && !cuts) return {};
  const at::Tensor causal_RS = at::ones({num_queries, num_keys}, at::kBool).tril(before);
  return cuts ? causal_RS.triu(before - window + 1) : causal_RS;
}

at::Tensor masked_attention(const ModelConfig& config, const at::Tensor& q_BNRH, const at::Tensor& k_BNSH,
                            const at::Tensor& v_BNSH, const at::Tensor& mask_RS) {
  if (config.attention_softcap == 0) {
    const std::optional<at::Tensor> mask = mask_RS.defined() ? std::optional<at::Tensor>(mask_RS) : std::nullopt;
    return at::scaled_dot_product_attention(q_BNRH, k_BNSH, v_BNSH, mask, 0.0, !mask.has_value(),
                                            config.attention_scale);
  }
  // LibTorch's attention has no soft cap: written out, softmax in at least f32.
  const double cap = config.attention_softcap;
  at::Tensor scores = at::matmul(q_BNRH, k_BNSH.transpose(-2, -1)) * config.attention_scale;
  scores = at::tanh(scores / cap) * cap;
  const at::Tensor seen = mask_RS.defined() ? mask_RS : at::ones({q_BNRH.size(-2), k_BNSH.size(-2)}, at::kBool).tril();
  scores = scores.masked_fill(seen.logical_not(), -std::numeric_limits<double>::infinity());
  const at::ScalarType dtype = q_BNRH.scalar_type();
  return at::matmul(at::softmax(scores, -1, dtype == at::kDouble ? at::kDouble : at::kFloat).to(dtype), v_BNSH);
}

}  // namespace thinktune::model
