// The operations as LibTorch formulas: what runs on devices without kernels of our own, differentiable by autograd.
// Each is the formula of the contract, with the same roundings.
#pragma once

#include <ATen/core/Tensor.h>

#include "thinktune/ops/fused.h"

namespace thinktune::ops {

at::Tensor composite_rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, const RmsNormForm& form);
at::Tensor composite_rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK);
at::Tensor composite_glu(const at::Tensor& gate_up_T2F, Activation activation);

}  // namespace thinktune::ops
