// Scaled dot product attention with a mask, as LibTorch formulas: on any device.
//
// Letters: B sequences, N heads, R queries, S keys, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thinktune::ops {

struct AttentionOptions {
  double scale = 1.0;
  double softcap = 0;  // c > 0: a score s becomes c · tanh(s / c) (Gemma 2)
  int64_t window = 0;  // w > 0: a token sees itself and the w - 1 tokens before it
};

// [R, S] bool: the R queries are the last of the S positions; each sees itself and what is before it, within the
// window if that is not 0. On `device`. Undefined where that is the plain causal mask of R = S, which needs none.
at::Tensor attention_mask(int64_t num_queries, int64_t num_keys, int64_t window, at::Device device = at::kCPU);

// softmax over the keys of cap(q·k·scale), times v, with an attention_mask (options.window is the mask's matter).
// q_BNRH: [B, N, R, H]; k, v: [B, N, S, H]. Differentiable.
at::Tensor masked_attention(const at::Tensor& q_BNRH, const at::Tensor& k_BNSH, const at::Tensor& v_BNSH,
                            const at::Tensor& mask_RS, const AttentionOptions& options);

}  // namespace thinktune::ops
