// A thread a piece of a row of the result: 16 bytes where the width allows.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/glu.h"

namespace thinktune::kernels::cuda {

inline constexpr unsigned kGluThreads = 256;

__device__ __forceinline__ float glu_sigma(float gate, bool silu) {
  const float z =
      silu ? gate
           : static_cast<float>(kTwiceRootOfTwoByPi) * (gate + static_cast<float>(kGeluCubic) * gate * gate * gate);
  return 1.0f / (1.0f + expf(-z));
}
__device__ __forceinline__ float glu_slope(float gate, bool silu) {
  return silu ? 1.0f
              : static_cast<float>(kTwiceRootOfTwoByPi) * (1.0f + static_cast<float>(3 * kGeluCubic) * gate * gate);
}

// gate · σ and its derivative; where z' overflows, σ (1 − σ) is 0 and so is their product.
struct Gate {
  float value, slope;
};
__device__ __forceinline__ Gate gate_of(float gate, bool silu) {
  const float sigma = glu_sigma(gate, silu), turn = sigma * (1.0f - sigma);
  return {gate * sigma, turn == 0 ? sigma : sigma + gate * turn * glu_slope(gate, silu)};
}

template <class E, int n>
__global__ void __launch_bounds__(kGluThreads)
    glu_kernel(const E* gate_up, const E* dout, bool silu, int64_t num_rows, int64_t width, E* out) {
  const int64_t pieces = width / n, index = int64_t{blockIdx.x} * kGluThreads + threadIdx.x;
  if (index >= num_rows * pieces) return;
  const int64_t row = index / pieces, i = index % pieces * n;
  const Pack<E, n> gate = load_pack<n>(gate_up + row * 2 * width + i);
  const Pack<E, n> up = load_pack<n>(gate_up + row * 2 * width + width + i);
  Pack<E, n> first, second;
  if (!dout) {
    TT_UNROLL
    for (int j = 0; j < n; ++j)
      first.e[j] = from_float<E>(gate_of(to_float(gate.e[j]), silu).value * to_float(up.e[j]));
    store_pack(out + row * width + i, first);
    return;
  }
  const Pack<E, n> d = load_pack<n>(dout + row * width + i);
  TT_UNROLL
  for (int j = 0; j < n; ++j) {
    const Gate g = gate_of(to_float(gate.e[j]), silu);
    first.e[j] = from_float<E>(to_float(d.e[j]) * to_float(up.e[j]) * g.slope);
    second.e[j] = from_float<E>(to_float(d.e[j]) * g.value);
  }
  store_pack(out + row * 2 * width + i, first);
  store_pack(out + row * 2 * width + width + i, second);
}

template <class E>
void launch_glu(const char* name, const E* gate_up, const E* dout, Activation activation, int64_t num_rows,
                int64_t width, E* out, Stream stream) {
  if (width <= 0) refuse(name, "the width is not positive");
  require_aligned(name, gate_up, dout, out);
  const bool packed = width % kVector<E> == 0;
  const int64_t threads = num_rows * (packed ? width / kVector<E> : width);
  launch(name, packed ? glu_kernel<E, kVector<E>> : glu_kernel<E, 1>, {blocks_for(threads, kGluThreads)}, kGluThreads,
         0, stream, gate_up, dout, activation == Activation::Silu, num_rows, width, out);
}

template <class E>
void glu_forward(const E* gate_up, Activation activation, int64_t num_rows, int64_t width, E* out, Stream stream) {
  launch_glu<E>("glu_forward", gate_up, nullptr, activation, num_rows, width, out, stream);
}
template <class E>
void glu_backward(const E* gate_up, const E* dout, Activation activation, int64_t num_rows, int64_t width, E* dgate_up,
                  Stream stream) {
  launch_glu<E>("glu_backward", gate_up, dout, activation, num_rows, width, dgate_up, stream);
}

#define TT_INSTANTIATE(E)                                                        \
  template void glu_forward(const E*, Activation, int64_t, int64_t, E*, Stream); \
  template void glu_backward(const E*, const E*, Activation, int64_t, int64_t, E*, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
