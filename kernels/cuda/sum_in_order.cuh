// The second stage of a sum: the partial sums of blocks, in an order that their number alone decides.
#pragma once

#include "kernels/cuda/device.cuh"

namespace thinktune::kernels::cuda {

inline constexpr unsigned kOrderThreads = 256;

// The same value in all threads of one block of kOrderThreads.
__device__ __forceinline__ double sum_in_order(const double* partials, int64_t count) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kOrderThreads) sum += partials[i];
  return reduce_block<kOrderThreads>(sum, Sum{});
}

__global__ static void __launch_bounds__(kOrderThreads)
    sum_in_order_kernel(const double* partials, int64_t count, double* out) {
  const double sum = sum_in_order(partials, count);
  if (threadIdx.x == 0) *out = sum;
}

}  // namespace thinktune::kernels::cuda
