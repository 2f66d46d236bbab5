// The softmax between the products of packed attention by matrix tiles (ops/packed_tiles.cpp), forward and backward,
// for a block of tokens of one sequence and the query heads that share one kv head.
//
// Letters: T tokens of the block, G query heads, M = T · G rows (heads of a token first), S columns: keys.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

struct PackedScores {
  int64_t num_tokens = 0;  // T
  int64_t group_size = 0;  // G
  int64_t width = 0;       // S, a multiple of kTileDepth; also the elements from one row to the next
  double scale = 1.0;
  double softcap = 0;      // c > 0: a scaled score s becomes c · tanh(s / c)
  int64_t lse_stride = 0;  // elements from one token's lse to the next
};

// The columns that a token's rows see: two stretches of them, either possibly empty.
struct SeenColumns {
  int32_t begin[2] = {}, end[2] = {};
};

// Of each row, with s = cap(scores · scale) over the columns seen: weights = exp(s − max s) rounded to bf16, 0
// elsewhere; inverse_sum_M = 1 / Σ of the weights as rounded; lse[t · lse_stride + g] = max s + log Σ.
void packed_softmax_forward(const float* scores_MS, const PackedScores& shape, const SeenColumns* seen_T,
                            Bf16* weights_MS, float* inverse_sum_M, float* lse);

// weights = exp(s − lse) and dscores = weights · (dweights − dot_M) · slope of the cap · scale, the gradient of the
// scores before they are scaled; both rounded to bf16, 0 where nothing is seen.
void packed_softmax_backward(const float* scores_MS, const float* dweights_MS, const PackedScores& shape,
                             const SeenColumns* seen_T, const float* lse, const float* dot_M, Bf16* weights_MS,
                             Bf16* dscores_MS);

// dot_M[m] = Σ_h a[m][h] · b[m][h], rows of `width` elements one behind the other, in f32.
void row_dots(const Bf16* a, const Bf16* b, int64_t num_rows, int64_t width, float* dot_M);

}  // namespace thinktune::kernels
