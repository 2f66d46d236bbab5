// Rotary position embedding (Su et al. 2021), halves convention. E: float, Bf16 or double.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

struct RopeShape {
  int64_t num_tokens = 0;
  int64_t num_heads = 0;
  int64_t head_size = 0;     // even
  int64_t token_stride = 0;  // of x, in elements; the last dimension is contiguous
  int64_t head_stride = 0;
};

// forward: (y_i, y_{i+K}) = (x_i c − x_{i+K} s, x_{i+K} c + x_i s) with K = head_size / 2, c = cos[t, i], s = sin[t,
// i]. Not forward: the turn back by the same angle, which is the gradient. cos, sin: [num_tokens, K]; y: [num_tokens,
// num_heads, head_size] contiguous, no overlap with x.
template <class E>
void rope(const E* x, const Accum<E>* cos, const Accum<E>* sin, const RopeShape& shape, bool forward, E* y);

}  // namespace thinktune::kernels
