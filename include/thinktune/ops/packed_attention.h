// Attention of packed groups: a prompt and the responses to it, one after the other, each response attending to the
// prompt and to itself.
//
// Letters: T tokens of all groups, N query heads, K key/value heads, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "thinktune/ops/masked_attention.h"
#include "thinktune/ops/varlen_attention.h"

namespace thinktune::ops {

// Token counts of one group, in packing order: the prompt, then each response (possibly of length 0).
struct PackedGroup {
  int64_t prompt_tokens = 0;  // at least 1
  std::vector<int64_t> response_tokens;
};

// softmax(cap(q·kᵀ·scale))·v, [T, N, H]. q_TNH: [T, N, H]; k, v: [T, K, H], N a multiple of K; f32, bf16 (products and
// sums in f32) or f64. Differentiable. On the CPU once only, keeping q, k, v, the result and a number a row for it,
// with the same bits whatever the number of threads.
at::Tensor packed_attention(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                            const std::vector<PackedGroup>& groups, const AttentionOptions& options);

// The same on any device, as one attention over sequences that each have their prompt's keys before their own. What
// devices other than the CPU run; a pass makes its layout once for all layers.
struct PackedLayout {
  VarlenLayout sequences;  // of each group its prompt, then its responses that have tokens
  at::Tensor key_rows_S;   // int64: row of k and v of each sequence's keys
};
PackedLayout make_packed_layout(const std::vector<PackedGroup>& groups, at::Device device);
at::Tensor packed_varlen_attention(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                                   const PackedLayout& layout, const AttentionOptions& options);

}  // namespace thinktune::ops
