// Gradients of weights that compute in bf16, summed in f32.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

namespace thinktune::ops {

// From now on the gradient of a leaf, [any], is summed in f32 (f64 for one of f64): leaf.grad() has that dtype, or is
// undefined before anything has arrived. On the CPU nothing of a bf16 leaf's is rounded to bf16: linear, glu_linear,
// token_logprob and embedding add to the sum as they compute, and hand nothing on that a hook could see, rms_norm and
// linear's bias hand on f32. What comes in bf16 from any other operation is added when the pass has computed it.
// `arrived` is called once in each backward pass that reaches the leaf, when all of that pass is in the sum; for as
// long as the result is kept.
[[nodiscard]] std::shared_ptr<void> sum_gradients(const at::Tensor& leaf, std::function<void()> arrived);

}  // namespace thinktune::ops
