// Activation checkpointing of one function: memory for time.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace thinktune::ops {

// f(x), of which only x is kept: backward computes f again, with its graph, and goes through that. x: floating, [any].
// Gradients with respect to what f uses besides x arrive in the leaves' .grad (call backward(), not grad()). f must
// give the same for the same x, at any time up to backward. Without a gradient to take it is f(x).
at::Tensor recomputed(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> f);

}  // namespace thinktune::ops
