// RMS norm on the device: the formulas, forms and gradients of kernels/rms_norm.h.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/rms_norm.h"

namespace thinktune::kernels::cuda {

// residual null: y = norm(x). Else residual += x, rounded to E, and y = norm(residual); residual is [num_rows, width]
// as x. inverse_rms: [num_rows], may be null. y may be x.
template <class E>
void rms_norm_forward(const E* x, E* residual, const E* weight, const RmsNormForm& form, int64_t num_rows,
                      int64_t width, E* y, float* inverse_rms, Stream stream);

// Floats of scratch that rms_norm_backward needs for dweight.
int64_t rms_norm_backward_scratch(int64_t num_rows, int64_t width);

template <class E>
struct RmsNormBackward {
  const E* x = nullptr;  // what was normed: behind an addition, the residual
  const E* weight = nullptr;
  const float* inverse_rms = nullptr;
  const E* dy = nullptr;
  const E* dresidual = nullptr;  // added to dx before it is rounded; may be null
  E* dx = nullptr;               // written; may be null; may be dresidual
  float* dweight = nullptr;      // [width], added to; may be null
  float* scratch = nullptr;      // used with dweight only
};
template <class E>
void rms_norm_backward(const RmsNormBackward<E>& arguments, const RmsNormForm& form, int64_t num_rows, int64_t width,
                       Stream stream);

}  // namespace thinktune::kernels::cuda
