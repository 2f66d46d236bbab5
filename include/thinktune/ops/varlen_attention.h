// Attention of sequences of different lengths that lie one behind the other, without padding, on any device.
//
// Letters: B sequences, T query tokens and S key tokens of all of them, N query heads, K key/value heads, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "thinktune/ops/masked_attention.h"

namespace thinktune::ops {

// Tokens of one sequence: its queries are the last of its keys.
struct VarlenSequence {
  int64_t queries = 0;  // at least 1
  int64_t keys = 0;     // at least `queries`
};

// Where the sequences lie, made once for all layers of a pass.
struct VarlenLayout {
  std::vector<VarlenSequence> sequences;
  at::Tensor query_offsets, key_offsets;  // [B + 1] int32, on the device: tokens before each sequence, and all
  int64_t longest_queries = 0, longest_keys = 0;
};
VarlenLayout make_varlen_layout(std::vector<VarlenSequence> sequences, at::Device device);

// softmax(cap(q·kᵀ·scale))·v, each query over what its sequence has up to it, within the window; [T, N, H].
// q_TNH: [T, N, H]; k, v: [S, K, H], N a multiple of K; f32, bf16 or f64. Differentiable. bf16 on a GPU without soft
// cap: LibTorch's flash attention over all sequences at once; else LibTorch's attention, one sequence after the other.
at::Tensor varlen_attention(const at::Tensor& q_TNH, const at::Tensor& k_SKH, const at::Tensor& v_SKH,
                            const VarlenLayout& layout, const AttentionOptions& options);

}  // namespace thinktune::ops
