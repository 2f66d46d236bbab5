// silu(gate) · up with silu(g) = g / (1 + exp(−g)). E: float, Bf16 or double; one rounding, at the store.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

// gate_up: [num_rows, 2 · width], a row is gate, then up; out: [num_rows, width].
template <class E>
void swiglu_forward(const E* gate_up, int64_t num_rows, int64_t width, E* out);

// With σ = 1 / (1 + exp(−gate)):  dgate = dout · up · σ · (1 + gate · (1 − σ)),  dup = dout · gate · σ.
template <class E>
void swiglu_backward(const E* gate_up, const E* dout, int64_t num_rows, int64_t width, E* dgate_up);

}  // namespace thinktune::kernels
