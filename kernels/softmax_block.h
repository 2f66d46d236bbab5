// Online softmax (Milakov and Gimelshein 2018) of attention scores, a block of positions at a time.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

struct SoftmaxBlock {
  int64_t num_rows = 0;
  int64_t num_positions = 0;  // of this block
  int64_t width = 0;          // elements from one row to the next, of scores and weights: num_positions or more
  double scale = 1.0;
  double softcap = 0;  // c > 0: a scaled score s becomes c · tanh(s / c)
};

// For each row r: with s = cap(scores · scale) and m the larger of max[r] and all s: weights = exp(s − m) rounded to
// bf16, 0 from num_positions up to whole tiles (kTileDepth; width is at least that); factor[r] = exp(max[r] − m), by
// which what was summed before is to be multiplied; sum[r] = sum[r] · factor[r] + Σ of the weights as rounded; max[r] =
// m. max begins at −infinity, sum at 0. The scores are overwritten.
void softmax_block(float* scores, const SoftmaxBlock& block, float* max, float* sum, float* factor, Bf16* weights);

// rows[r][i] *= factor[r] for i < width.
void scale_rows(float* rows, int64_t stride, int64_t num_rows, int64_t width, const float* factor);

}  // namespace thinktune::kernels
