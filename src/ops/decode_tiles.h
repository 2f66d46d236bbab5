// Decode attention in bf16: what sequences share is a product for all of them.
#pragma once

#include "thinktune/ops/decode_attention.h"

namespace thinktune::ops {

// As decode_attention, whose checks have passed, for CPU tensors of bf16 with H a multiple of 32. Weights of the
// positions in shared segments are rounded to bf16 for the product with the values; sums are in f32. A sequence's
// result is that of its own shared rows, in order, then its other ones: neither its company shows, nor where segments
// are cut.
void decode_by_tiles(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments,
                     const DecodeAttentionOptions& options, const at::Tensor& out_BNH);

}  // namespace thinktune::ops
