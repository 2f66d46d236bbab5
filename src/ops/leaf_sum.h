// Where an operation's backward pass adds its gradient of a leaf.
#pragma once

#include <ATen/core/Tensor.h>

namespace thinktune::ops {

struct LeafSum {
  at::Tensor sum;       // leaf.grad(), f32, contiguous; undefined: the gradient is to be returned
  bool is_new = false;  // nothing has been added yet: it holds no values
};

// For a weight of bf16 on the CPU whose gradients sum_gradients() sums. The gradient of the one that adds is undefined.
LeafSum leaf_sum(const at::Tensor& weight);

// In which a gradient of a weight that was computed in f32 is returned: unrounded where it is summed so.
at::ScalarType gradient_dtype(const at::Tensor& weight);

}  // namespace thinktune::ops
