// Rotary position embedding on the device: kernels/rope.h.
#pragma once

#include "kernels/cuda/stream.h"
#include "kernels/rope.h"

namespace thinktune::kernels::cuda {

// cos, sin: [num_tokens, head_size / 2]. y may be x where x is contiguous: each pair is read and written by one thread.
// Strides of x need no alignment.
template <class E>
void rope(const E* x, const float* cos, const float* sin, const RopeShape& shape, bool forward, E* y, Stream stream);

}  // namespace thinktune::kernels::cuda
