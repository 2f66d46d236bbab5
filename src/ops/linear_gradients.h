// Letters: T rows, D inputs, F outputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace thinktune::ops {

// Of y = x·Wᵀ, where dy is y's gradient. In bf16 by tile_matmul.
at::Tensor linear_input_gradient(const at::Tensor& dy_TF, const at::Tensor& weight_FD);
// Undefined where the product was added to the weight's sum (leaf_sum.h).
at::Tensor linear_weight_gradient(const at::Tensor& dy_TF, const at::Tensor& x_TD, const at::Tensor& weight_FD);

}  // namespace thinktune::ops
