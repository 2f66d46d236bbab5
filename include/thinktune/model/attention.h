// Scaled dot product attention as the families have it: scale, soft cap, window.
//
// Letters: B sequences, N heads, R queries, S keys, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "thinktune/model/config.h"

namespace thinktune::model {

// The windows that occur among the layers, each once: layers of one window share their masks.
class WindowKinds {
 public:
  explicit WindowKinds(const ModelConfig& config);

  const std::vector<int64_t>& windows() const { return windows_; }  // at least one entry; 0: none
  size_t kind_of(int64_t layer) const { return kind_of_layer_[static_cast<size_t>(layer)]; }

 private:
  std::vector<int64_t> windows_;
  std::vector<size_t> kind_of_layer_;
};

// [R, S] bool: the R queries are the last of the S positions; each sees itself and what is before it, within the
// window if that is not 0. Undefined where that is the plain causal mask of R = S, which needs none.
at::Tensor attention_mask(int64_t num_queries, int64_t num_keys, int64_t window);

// softmax over the keys of cap(q·k·scale), times v, with an attention_mask. q_BNRH: [B, N, R, H]; k, v: [B, N, S, H].
// Differentiable.
at::Tensor masked_attention(const ModelConfig& config, const at::Tensor& q_BNRH, const at::Tensor& k_BNSH,
                            const at::Tensor& v_BNSH, const at::Tensor& mask_RS);

}  // namespace thinktune::model
