// The gradients' norm and their clip on a GPU: squares in f64, in an order that the tensors' sizes alone decide.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thinktune::ops {

// Whether there are gradients, and all are f32 or bf16 on a GPU: what the two functions below are for.
bool has_gradient_norm(const std::vector<at::Tensor>& gradients);

// Σ g², [1] f64 beside the gradients. The device is not waited for.
at::Tensor sum_of_squares(const std::vector<at::Tensor>& gradients);

// n = √sum_1; contiguous gradients become g · max_norm / n where n is finite and above max_norm (0: never). Returns n:
// the device is waited for, once.
double scale_to_norm(const std::vector<at::Tensor>& gradients, const at::Tensor& sum_1, double max_norm);

}  // namespace thinktune::ops
