// RMS norm (Zhang and Sennrich 2019), rows of D elements. E: float, Bf16 or double; statistics in Accum<E>.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

// How the families write it; w is the weight, or 1 + weight.
struct RmsNormForm {
  double epsilon = 1e-5;
  bool weight_plus_one = false;     // Gemma
  bool round_before_weight = true;  // x · r is rounded to E before the product with w; Gemma and OLMo 2: only after it
};

// y = x · r · w with r = 1 / sqrt(mean(x²) + epsilon), row by row. x, y: [num_rows, width]; weight: [width];
// inverse_rms: [num_rows], receives r, may be null. y may be x.
// residual null: that. Else residual += x, rounded to E, and y = norm(residual); residual: [num_rows, width].
template <class E>
void rms_norm_forward(const E* x, E* residual, const E* weight, const RmsNormForm& form, int64_t num_rows,
                      int64_t width, E* y, Accum<E>* inverse_rms);

// With n = x · r and h = dy · w:  dx = r · (h − n · mean(h · n)), and dweight += Σ_rows dy · n (n rounded as in the
// forward pass), rows in order. x: what was normed, behind an addition the residual. dresidual: added to dx before it
// is rounded, may be null, may be dx. dx: [num_rows, width], written, may be null; dweight: [width], added to, may be
// null.
template <class E>
void rms_norm_backward(const E* x, const E* weight, const RmsNormForm& form, const Accum<E>* inverse_rms, const E* dy,
                       const E* dresidual, int64_t num_rows, int64_t width, E* dx, Accum<E>* dweight);

// out[i] = Σ_b blocks[b, i], blocks in order. blocks: [num_blocks, width]. With it a sum over rows is taken in blocks
// of rows, on any number of threads, with one result.
template <class E>
void sum_blocks(const Accum<E>* blocks, int64_t num_blocks, int64_t width, E* out);

}  // namespace thinktune::kernels
