// Attention for training: the responses to a prompt stand behind it in one packed row of tokens and share its forward
// and backward pass. A response attends to the prompt and to itself; its positions go on from the prompt's end. No
// padding reaches the rest of the model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "thinktune/core/types.h"
#include "thinktune/model/attention.h"
#include "thinktune/model/decoder.h"

namespace thinktune::model {

// Token counts of one group, in packing order: the prompt, then each response (possibly of length 0).
struct PackedGroup {
  int64_t prompt_tokens = 0;  // at least 1
  std::vector<int64_t> response_tokens;
};

// Position of each token within its own sequence, [T] int64.
at::Tensor packed_positions(const std::vector<PackedGroup>& groups);

// Differentiable; f32, bf16 or f64. One object serves any number of forward passes.
class PackedAttention final : public Attention {
 public:
  PackedAttention(const ModelConfig& config, const std::vector<PackedGroup>& groups);

  at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH) override;

 private:
  struct Plan {
    int64_t first = 0;  // first token of the group
    int64_t prompt_tokens = 0;
    int64_t num_responses = 0;
    int64_t longest = 0;  // tokens of the longest response
    at::Tensor rows;      // [num_responses · longest] row of each padded place; padding points at row 0
    at::Tensor places;    // [response tokens] padded place of each row
    // For each kind of window, see attention_mask: of the prompt, and of a padded response behind it.
    std::vector<at::Tensor> prompt_masks, response_masks;
  };

  struct Tokens {  // the tokens of a group's prompt, or of its responses
    at::Tensor q_TNH, k_TNH, v_TNH;
  };
  at::Tensor attend_group(const Plan& plan, size_t kind, const Tokens& prompt, const Tokens& responses) const;

  ModelConfig config_;
  WindowKinds kinds_;
  std::vector<Plan> plans_;
};

}  // namespace thinktune::model
