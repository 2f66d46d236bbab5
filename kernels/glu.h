// Gated linear unit (Shazeer 2020): act(gate) · up, with act(g) = g · σ(z(g)) and σ(z) = 1 / (1 + exp(−z)):
//
//   Silu       z(g) = g                                  SwiGLU
//   GeluTanh   z(g) = 2 √(2/π) (g + 0.044715 g³)         GeGLU: ½ (1 + tanh(z/2)) = σ(z), so this is GELU's tanh form
//
// E: float, Bf16 or double; one rounding, at the store.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

inline constexpr double kTwiceRootOfTwoByPi = 1.5957691216057308;  // 2 √(2/π)
inline constexpr double kGeluCubic = 0.044715;

enum class Activation : uint8_t { Silu, GeluTanh };

// gate_up: [num_rows, 2 · width], a row is gate, then up; out: [num_rows, width].
template <class E>
void glu_forward(const E* gate_up, Activation activation, int64_t num_rows, int64_t width, E* out);

// dgate = dout · up · (σ + gate · σ · (1 − σ) · z'(gate)),  dup = dout · gate · σ.
template <class E>
void glu_backward(const E* gate_up, const E* dout, Activation activation, int64_t num_rows, int64_t width, E* dgate_up);

}  // namespace thinktune::kernels
