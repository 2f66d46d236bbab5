// A thread a piece of a half of a head: 16 bytes of each half where the shape allows.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/rope.h"

namespace thinktune::kernels::cuda {

inline constexpr unsigned kRopeThreads = 256;

template <class E, int n>
__global__ void __launch_bounds__(kRopeThreads)
    rope_kernel(const E* x, const float* cos, const float* sin, RopeShape shape, float sign, E* y) {
  const int64_t half = shape.head_size / 2, pieces = half / n;
  const int64_t index = int64_t{blockIdx.x} * kRopeThreads + threadIdx.x;
  if (index >= shape.num_tokens * shape.num_heads * pieces) return;
  const int64_t head = index / pieces, i = index % pieces * n, token = head / shape.num_heads;
  const E* from = x + token * shape.token_stride + head % shape.num_heads * shape.head_stride + i;
  E* to = y + head * shape.head_size + i;
  const Pack<E, n> a = load_pack<n>(from), b = load_pack<n>(from + half);
  const Pack<float, n> c = load_pack<n>(cos + token * half + i), s = load_pack<n>(sin + token * half + i);
  Pack<E, n> left, right;
  TT_UNROLL
  for (int j = 0; j < n; ++j) {
    const float u = to_float(a.e[j]), v = to_float(b.e[j]), turn = s.e[j] * sign;
    left.e[j] = from_float<E>(u * c.e[j] - v * turn);
    right.e[j] = from_float<E>(v * c.e[j] + u * turn);
  }
  store_pack(to, left);
  store_pack(to + half, right);
}

template <class E>
void rope(const E* x, const float* cos, const float* sin, const RopeShape& shape, bool forward, E* y, Stream stream) {
  if (shape.head_size < 2 || shape.head_size % 2 != 0) refuse("rope", "the head size is not even");
  require_aligned("rope", cos, sin, y);
  const int64_t half = shape.head_size / 2;
  const bool packed = half % kVector<E> == 0 && shape.token_stride % kVector<E> == 0 &&
                      shape.head_stride % kVector<E> == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
  const int64_t threads = shape.num_tokens * shape.num_heads * (packed ? half / kVector<E> : half);
  launch("rope", packed ? rope_kernel<E, kVector<E>> : rope_kernel<E, 1>, {blocks_for(threads, kRopeThreads)},
         kRopeThreads, 0, stream, x, cos, sin, shape, forward ? 1.0f : -1.0f, y);
}

#define TT_INSTANTIATE(E) template void rope(const E*, const float*, const float*, const RopeShape&, bool, E*, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
