#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gradient_norm.h"
#include "kernels/cuda/sum_in_order.cuh"

namespace thinktune::kernels::cuda {

inline constexpr unsigned kNormPieceThreads = 256;
inline constexpr int64_t kNormPiece = 16384;

// Elements of a piece, in packs if the tensor is made of them: f(position, count).
template <class E, class F>
__device__ __forceinline__ void over_piece(int64_t num_elements, F f) {
  const int64_t begin = blockIdx.x * kNormPiece;
  const int64_t width = num_elements - begin < kNormPiece ? num_elements - begin : kNormPiece;
  over_row<E>(width, threadIdx.x, kNormPieceThreads, [&](int64_t i, auto count) { f(begin + i, count); });
}

// The same elements one by one where the tensor is not aligned: the sum's order stays.
template <int n, class E>
__device__ __forceinline__ Pack<E, n> load_any(const E* from, bool aligned) {
  if (aligned) return load_pack<n>(from);
  Pack<E, n> pack;
  TT_UNROLL
  for (int j = 0; j < n; ++j) pack.e[j] = from[j];
  return pack;
}

__device__ __forceinline__ bool is_aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

template <class E>
__global__ void __launch_bounds__(kNormPieceThreads)
    sum_of_squares_kernel(const E* gradient, int64_t num_elements, double* partials) {
  const bool aligned = is_aligned(gradient);
  double sum = 0;
  over_piece<E>(num_elements, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> pack = load_any<n>(gradient + i, aligned);
    TT_UNROLL
    for (int j = 0; j < n; ++j) sum += static_cast<double>(to_float(pack.e[j])) * to_float(pack.e[j]);
  });
  sum = reduce_block<kNormPieceThreads>(sum, Sum{});
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kOrderThreads)
    finish_norm_kernel(const double* partials, int64_t count, double max_norm, GradientNorm* out) {
  const double norm = sqrt(sum_in_order(partials, count));
  if (threadIdx.x != 0) return;
  const bool finite = norm < INFINITY;  // nor NaN
  *out = {norm, finite && max_norm > 0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f, finite};
}

template <class E>
__global__ void __launch_bounds__(kNormPieceThreads)
    scale_gradient_kernel(E* gradient, int64_t num_elements, const GradientNorm* norm) {
  const float scale = norm->scale;
  if (scale == 1) return;
  const bool aligned = is_aligned(gradient);
  over_piece<E>(num_elements, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    Pack<E, n> pack = load_any<n>(gradient + i, aligned);
    TT_UNROLL
    for (int j = 0; j < n; ++j) pack.e[j] = from_float<E>(to_float(pack.e[j]) * scale);
    if (aligned) {
      store_pack(gradient + i, pack);
    } else {
      TT_UNROLL
      for (int j = 0; j < n; ++j) gradient[i + j] = pack.e[j];
    }
  });
}

int64_t norm_partials(int64_t num_elements) { return blocks_for(num_elements, kNormPiece); }

template <class E>
void sum_of_squares(const E* gradient, int64_t num_elements, double* partials, Stream stream) {
  launch("sum_of_squares", sum_of_squares_kernel<E>, {norm_partials(num_elements)}, kNormPieceThreads, 0, stream,
         gradient, num_elements, partials);
}

void add_partials(const double* partials, int64_t num_partials, double* out, Stream stream) {
  launch("add_partials", sum_in_order_kernel, {1}, kOrderThreads, 0, stream, partials, num_partials, out);
}

void finish_norm(const double* partials, int64_t num_partials, double max_norm, GradientNorm* out, Stream stream) {
  launch("finish_norm", finish_norm_kernel, {1}, kOrderThreads, 0, stream, partials, num_partials, max_norm, out);
}

template <class E>
void scale_gradient(E* gradient, int64_t num_elements, const GradientNorm* norm, Stream stream) {
  launch("scale_gradient", scale_gradient_kernel<E>, {norm_partials(num_elements)}, kNormPieceThreads, 0, stream,
         gradient, num_elements, norm);
}

#define TT_INSTANTIATE(E)                                           \
  template void sum_of_squares(const E*, int64_t, double*, Stream); \
  template void scale_gradient(E*, int64_t, const GradientNorm*, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
