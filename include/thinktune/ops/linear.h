// Products with a weight matrix, and weights laid out for them.
//
// Letters: T rows, D inputs, F outputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace thinktune::ops {

// x·Wᵀ + bias, [T, F]. weight_FD: [F, D], differentiable; or what pack_weight made of it, which is not. bias_F may be
// undefined. With a packed weight a row's result is the same in any company and on any number of threads (a test tries
// it).
at::Tensor linear(const at::Tensor& x_TD, const at::Tensor& weight_FD, const at::Tensor& bias_F = {});

// A copy of the weight in the blocks that products read, for `linear` without gradients: at few rows two to four times
// as fast as the plain matrix, which is laid out anew in each product. In bf16 the product is ours, in f32 oneDNN's.
// The weight itself where there is no such copy: f64, other devices, bf16 with an odd number of inputs.
at::Tensor pack_weight(const at::Tensor& weight_FD);

// Whether pack_weight made it a copy of that kind.
bool is_packed(const at::Tensor& weight);

}  // namespace thinktune::ops
