// Letters: T rows, D inputs, F outputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace thinktune::ops {

// Of y = x·Wᵀ, where dy is y's gradient. In bf16 by tile_matmul.
at::Tensor linear_input_gradient(const at::Tensor& dy_TF, const at::Tensor& weight_FD);
at::Tensor linear_weight_gradient(const at::Tensor& dy_TF, const at::Tensor& x_TD);

}  // namespace thinktune::ops
