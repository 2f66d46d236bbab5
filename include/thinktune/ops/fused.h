// The element-wise parts of a decoder block, each one pass over memory, forward and backward, for f32, bf16 (f32
// inside) and f64 (the twin that tests compare with). On a device other than the CPU the same formulas run as LibTorch
// operations.
//
// Letters: T tokens, D width, N heads, H head size, F width of the MLP.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/glu.h"
#include "kernels/rms_norm.h"

namespace thinktune::ops {

using kernels::Activation;   // Silu, GeluTanh
using kernels::RmsNormForm;  // epsilon, and where the families differ

// y = x / sqrt(mean(x²) + epsilon) · weight, per row (Zhang and Sennrich 2019). x_TD and weight_D of the same dtype.
// Statistics in f32; `form` says whether the weight counts from 1 and where the row is rounded to the dtype, as each
// family's reference has it.
at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, const RmsNormForm& form);

// sum = x + delta, rounded to the dtype, and rms_norm(sum, weight): the residual stream behind a sublayer, and what the
// next one reads of it, in one pass. x_TD, delta_TD: of the same shape and dtype.
struct AddedNorm {
  at::Tensor sum_TD, normed_TD;
};
AddedNorm add_rms_norm(const at::Tensor& x_TD, const at::Tensor& delta_TD, const at::Tensor& weight_D,
                       const RmsNormForm& form);

// Rotary position embedding (Su et al. 2021), halves convention: for i < H/2, (x_i, x_{i+H/2}) is turned by the angle
// whose cosine and sine are cos_TK[t, i], sin_TK[t, i] (K = H/2, f32; f64 for f64 input). x_TNH contiguous or a view
// with contiguous last dimension. Returns a new contiguous tensor.
at::Tensor rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK);

// act(gate) · up, elementwise (Shazeer 2020); gate_up_T2F = [gate | up] in one row, as the fused projection writes it.
// Returns [T, F].
at::Tensor glu(const at::Tensor& gate_up_T2F, Activation activation);

// linear(glu(gate_up), weight), [T, D]: the same bits, also of the gradients, for which [T, F] is computed again
// instead of being kept. weight_DF as linear has it.
at::Tensor glu_linear(const at::Tensor& gate_up_T2F, Activation activation, const at::Tensor& weight_DF);

}  // namespace thinktune::ops
