// Attention for training: the responses to a prompt stand behind it in one packed row of tokens and share its forward
// and backward pass. A response attends to the prompt and to itself; its positions go on from the prompt's end. No
// padding reaches the rest of the model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "thinktune/core/types.h"
#include "thinktune/model/attention.h"
#include "thinktune/model/decoder.h"
#include "thinktune/ops/packed_attention.h"

namespace thinktune::model {

using ops::PackedGroup;

// Position of each token within its own sequence, [T] int64, on the CPU.
at::Tensor packed_positions(const std::vector<PackedGroup>& groups);

// Differentiable; f32, bf16 or f64. One object serves any number of forward passes.
class PackedAttention final : public Attention {
 public:
  PackedAttention(const ModelConfig& config, std::vector<PackedGroup> groups);

  at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH) override;

 private:
  ModelConfig config_;
  std::vector<PackedGroup> groups_;
  std::optional<ops::PackedLayout> layout_;  // not on the CPU; made for the first layer
};

}  // namespace thinktune::model
