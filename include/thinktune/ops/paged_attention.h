// Attention of one new token a sequence over keys and values that lie in pages, and the writing of new ones. No call
// waits for the device, and shapes do not depend on the sequences' lengths: a CUDA graph can replay them.
//
// Letters: B sequences, R rows of the pool, W pages of the table, N query heads, K key/value heads, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "thinktune/ops/masked_attention.h"

namespace thinktune::ops {

// rows_T (int64) of keys_RKH and values_RKH become k_TKH and v_TKH. Rows that occur twice hold one of theirs.
void write_rows(const at::Tensor& keys_RKH, const at::Tensor& values_RKH, const at::Tensor& rows_T,
                const at::Tensor& k_TKH, const at::Tensor& v_TKH);

// Where the sequences' tokens lie: that of position p in row table_BW[b][p / page_tokens] · page_tokens + p %
// page_tokens. The query is the token at position lengths_B[b] − 1, the last that it sees. Entries of pages behind it
// must be rows of the pool, and are not read otherwise.
struct PagedBatch {
  at::Tensor table_BW;   // int32
  at::Tensor lengths_B;  // int32, tokens with the query's, at least 1
  int64_t page_tokens = 0;
};

// softmax(cap(q·kᵀ·scale))·v within the window, in f32 (f64 for f64). q_BNH: f32, bf16 or f64, N a multiple of K.
// Returns [B, N, H]. No gradient.
at::Tensor paged_attention(const at::Tensor& q_BNH, const at::Tensor& keys_RKH, const at::Tensor& values_RKH,
                           const PagedBatch& batch, const AttentionOptions& options);

// Bytes that a call takes besides on a GPU, for partial results: whatever the sequences' lengths, up to so many tokens.
int64_t paged_attention_scratch_bytes(int64_t batch, int64_t num_heads, int64_t head_size, int64_t max_tokens);

}  // namespace thinktune::ops
