#include "thinktune/model/packed_attention.h"

#include <ATen/ATen.h>

namespace thinktune::model {

at::Tensor packed_positions(const std::vector<PackedGroup>& groups) {
  std::vector<int64_t> positions;
  for (const PackedGroup& group : groups) {
    for (int64_t i = 0; i < group.prompt_tokens; ++i) positions.push_back(i);
    for (const int64_t tokens : group.response_tokens)
      for (int64_t i = 0; i < tokens; ++i) positions.push_back(group.prompt_tokens + i);
  }
  return at::tensor(positions, at::TensorOptions().dtype(at::kLong));
}

PackedAttention::PackedAttention(const ModelConfig& config, std::vector<PackedGroup> groups)
    : config_(config), groups_(std::move(groups)) {}

at::Tensor PackedAttention::attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                                   const at::Tensor& v_TKH) {
  const ops::AttentionOptions options = {
      .scale = config_.attention_scale, .softcap = config_.attention_softcap, .window = window_of(config_, layer)};
  if (q_TNH.is_cpu()) return ops::packed_attention(q_TNH, k_TKH, v_TKH, groups_, options);
  if (!layout_) layout_ = ops::make_packed_layout(groups_, q_TNH.device());
  return ops::packed_varlen_attention(q_TNH, k_TKH, v_TKH, *layout_, options);
}

}  // namespace thinktune::model
