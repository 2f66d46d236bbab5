// A word in time from the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace thinktune::ops {

// x itself, [any]. The backward pass calls f when it reaches it: after everything that was computed from the result,
// before anything that x was computed from. Without a gradient to take f is never called.
at::Tensor before_backward(const at::Tensor& x, std::function<void()> f);

}  // namespace thinktune::ops
