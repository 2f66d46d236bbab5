// A block a row; a thread reads again, from the nearest cache, what it has read for the sum.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/rms_norm.h"

namespace thinktune::kernels::cuda {

inline constexpr unsigned kNormThreads = 128;
inline constexpr int64_t kNormRows = 128;  // of one partial sum of dweight

template <class E>
struct NormRows {
  const E *x, *weight;
  E *residual, *y;
  float* inverse_rms;
  int64_t width;
  float epsilon, offset;
  bool round;  // x · r before the product with the weight
};

template <class E>
__device__ __forceinline__ float normalized(float x, float inverse, bool round) {
  return round ? to_float(from_float<E>(x * inverse)) : x * inverse;
}

template <class E>
__global__ void __launch_bounds__(kNormThreads) rms_norm_kernel(NormRows<E> a) {
  const int64_t row = blockIdx.x;
  const E* x = a.x + row * a.width;
  E* residual = a.residual ? a.residual + row * a.width : nullptr;
  E* y = a.y + row * a.width;
  float squares = 0;
  over_row<E>(a.width, threadIdx.x, kNormThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    Pack<E, n> v = load_pack<n>(x + i);
    if (residual) {
      const Pack<E, n> before = load_pack<n>(residual + i);
      for (int j = 0; j < n; ++j) v.e[j] = from_float<E>(to_float(before.e[j]) + to_float(v.e[j]));
      store_pack(residual + i, v);
    }
    for (int j = 0; j < n; ++j) squares += to_float(v.e[j]) * to_float(v.e[j]);
  });
  const float mean = reduce_block<kNormThreads>(squares, Sum{}) / static_cast<float>(a.width);
  const float inverse = 1.0f / sqrtf(mean + a.epsilon);
  const E* normed = residual ? residual : x;
  over_row<E>(a.width, threadIdx.x, kNormThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> v = load_pack<n>(normed + i), weight = load_pack<n>(a.weight + i);
    Pack<E, n> out;
    for (int j = 0; j < n; ++j)
      out.e[j] = from_float<E>(normalized<E>(to_float(v.e[j]), inverse, a.round) * (to_float(weight.e[j]) + a.offset));
    store_pack(y + i, out);
  });
  if (a.inverse_rms && threadIdx.x == 0) a.inverse_rms[row] = inverse;
}

template <class E>
__global__ void __launch_bounds__(kNormThreads) rms_norm_dx_kernel(RmsNormBackward<E> a, int64_t width, float offset) {
  const int64_t row = blockIdx.x, begin = row * width;
  const float inverse = a.inverse_rms[row];
  float products = 0;
  over_row<E>(width, threadIdx.x, kNormThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> x = load_pack<n>(a.x + begin + i), dy = load_pack<n>(a.dy + begin + i);
    const Pack<E, n> weight = load_pack<n>(a.weight + i);
    for (int j = 0; j < n; ++j)
      products += to_float(dy.e[j]) * (to_float(weight.e[j]) + offset) * (to_float(x.e[j]) * inverse);
  });
  const float mean = reduce_block<kNormThreads>(products, Sum{}) / static_cast<float>(width);
  over_row<E>(width, threadIdx.x, kNormThreads, [&](int64_t i, auto count) {
    constexpr int n = decltype(count)::value;
    const Pack<E, n> x = load_pack<n>(a.x + begin + i), dy = load_pack<n>(a.dy + begin + i);
    const Pack<E, n> weight = load_pack<n>(a.weight + i);
    Pack<E, n> dx;
    float beside[n] = {};
    if (a.dresidual) {
      const Pack<E, n> pack = load_pack<n>(a.dresidual + begin + i);
      for (int j = 0; j < n; ++j) beside[j] = to_float(pack.e[j]);
    }
    for (int j = 0; j < n; ++j) {
      const float h = to_float(dy.e[j]) * (to_float(weight.e[j]) + offset);
      dx.e[j] = from_float<E>((h - to_float(x.e[j]) * inverse * mean) * inverse + beside[j]);
    }
    store_pack(a.dx + begin + i, dx);
  });
}

// A thread a column, over kNormRows rows in order.
template <class E>
__global__ void __launch_bounds__(kNormThreads)
    rms_norm_dweight_kernel(RmsNormBackward<E> a, int64_t num_rows, int64_t width, bool round) {
  const int64_t column = int64_t{blockIdx.y} * kNormThreads + threadIdx.x;
  if (column >= width) return;
  const int64_t first = blockIdx.x * kNormRows;
  const int64_t end = first + kNormRows < num_rows ? first + kNormRows : num_rows;
  float sum = 0;
  for (int64_t row = first; row < end; ++row) {
    const float n = normalized<E>(to_float(a.x[row * width + column]), a.inverse_rms[row], round);
    sum += to_float(a.dy[row * width + column]) * n;
  }
  a.scratch[int64_t{blockIdx.x} * width + column] = sum;
}

template <class A>
__global__ void __launch_bounds__(kNormThreads)
    add_blocks_kernel(const A* blocks, int64_t num_blocks, int64_t width, A* out) {
  const int64_t column = int64_t{blockIdx.x} * kNormThreads + threadIdx.x;
  if (column >= width) return;
  A sum = out[column];
  for (int64_t b = 0; b < num_blocks; ++b) sum += blocks[b * width + column];
  out[column] = sum;
}

template <class E>
void rms_norm_forward(const E* x, E* residual, const E* weight, const RmsNormForm& form, int64_t num_rows,
                      int64_t width, E* y, float* inverse_rms, Stream stream) {
  if (width <= 0) refuse("rms_norm_forward", "the width is not positive");
  require_aligned("rms_norm_forward", x, residual, weight, y);
  const NormRows<E> rows{x,
                         weight,
                         residual,
                         y,
                         inverse_rms,
                         width,
                         static_cast<float>(form.epsilon),
                         form.weight_plus_one ? 1.0f : 0.0f,
                         form.round_before_weight};
  launch("rms_norm_forward", rms_norm_kernel<E>, {num_rows}, kNormThreads, 0, stream, rows);
}

int64_t rms_norm_backward_scratch(int64_t num_rows, int64_t width) { return blocks_for(num_rows, kNormRows) * width; }

template <class E>
void rms_norm_backward(const RmsNormBackward<E>& arguments, const RmsNormForm& form, int64_t num_rows, int64_t width,
                       Stream stream) {
  if (width <= 0) refuse("rms_norm_backward", "the width is not positive");
  require_aligned("rms_norm_backward", arguments.x, arguments.weight, arguments.dy, arguments.dresidual, arguments.dx);
  const float offset = form.weight_plus_one ? 1.0f : 0.0f;
  if (arguments.dweight && num_rows > 0) {
    const int64_t blocks = blocks_for(num_rows, kNormRows), columns = blocks_for(width, kNormThreads);
    launch("rms_norm_backward", rms_norm_dweight_kernel<E>, {blocks, columns}, kNormThreads, 0, stream, arguments,
           num_rows, width, form.round_before_weight);
    launch("rms_norm_backward", add_blocks_kernel<float>, {columns}, kNormThreads, 0, stream, arguments.scratch, blocks,
           width, arguments.dweight);
  }
  if (arguments.dx)
    launch("rms_norm_backward", rms_norm_dx_kernel<E>, {num_rows}, kNormThreads, 0, stream, arguments, width, offset);
}

#define TT_INSTANTIATE(E)                                                                                           \
  template void rms_norm_forward(const E*, E*, const E*, const RmsNormForm&, int64_t, int64_t, E*, float*, Stream); \
  template void rms_norm_backward(const RmsNormBackward<E>&, const RmsNormForm&, int64_t, int64_t, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
