// Packed attention in bf16 by products of tiles.
#pragma once

#include "kernels/packed_attention.h"

namespace thinktune::ops {

// As kernels::packed_attention_forward and _backward of bf16, for a head size that is a multiple of 32 on a processor
// with tiles. Probabilities and the scores' gradients are rounded to bf16 for their products (as FlashAttention has
// it); all sums are in f32. Memory is kept by the calling thread from call to call.
void packed_tiles_forward(const kernels::Bf16* q, const kernels::Bf16* k, const kernels::Bf16* v,
                          const kernels::PackedShape& shape, kernels::PackedPart part, kernels::Bf16* out, float* lse);
void packed_tiles_backward(const kernels::Bf16* q, const kernels::Bf16* k, const kernels::Bf16* v,
                           const kernels::Bf16* out, const float* lse, const kernels::Bf16* dout,
                           const kernels::PackedShape& shape, kernels::PackedPart part, kernels::Bf16* dq,
                           kernels::Bf16* dk, kernels::Bf16* dv, const kernels::PromptSums<kernels::Bf16>& prompt);

}  // namespace thinktune::ops
