// Gated linear unit on the device: the formulas and layouts of kernels/glu.h.
#pragma once

#include "kernels/cuda/stream.h"
#include "kernels/glu.h"

namespace thinktune::kernels::cuda {

template <class E>
void glu_forward(const E* gate_up, Activation activation, int64_t num_rows, int64_t width, E* out, Stream stream);

// dgate_up may be gate_up.
template <class E>
void glu_backward(const E* gate_up, const E* dout, Activation activation, int64_t num_rows, int64_t width, E* dgate_up,
                  Stream stream);

}  // namespace thinktune::kernels::cuda
