// What all kernels share: the launch, 16-byte accesses, sums over warps and blocks. The text of the kernels is compiled
// by nvcc and, for the tests, by g++ over the layer of tests/support/simt, which brings CUDA's words.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/element.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define TT_UNROLL _Pragma("unroll")
#define TT_SHARED(T, name, count) __shared__ T name[count]
#define TT_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char tt_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(tt_dynamic_shared)
#elif defined(TT_SIMT)
#define TT_UNROLL
#else
#error "kernels are compiled by nvcc, or behind tests/support/simt/cuda.h"
#endif

namespace thinktune::kernels::cuda {

inline constexpr unsigned kFullWarp = 0xffffffffu;
inline constexpr unsigned kWarpSize = 32;

struct Grid {
  int64_t x = 1, y = 1;
};

#if defined(__CUDACC__)
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), Grid grid, unsigned threads, size_t shared_bytes,
            Stream stream, Arguments... arguments) {
  if (grid.x <= 0 || grid.y <= 0) return;
  if (grid.x > 0x7fffffff || grid.y > 65535) refuse(name, "the grid is too large");
  kernel<<<dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y)), threads, shared_bytes, stream>>>(
      static_cast<Parameters>(arguments)...);
  check_launch(name);
}
#else
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), Grid grid, unsigned threads, size_t shared_bytes, Stream,
            Arguments... arguments) {
  if (grid.x <= 0 || grid.y <= 0) return;
  if (grid.x > 0x7fffffff || grid.y > 65535) refuse(name, "the grid is too large");
  simt::Machine::instance().launch({static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), 1}, threads,
                                   shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
}
#endif

// The contracts' alignment, which 16-byte accesses rest on.
template <class... Pointers>
void require_aligned(const char* kernel, const Pointers*... pointers) {
  if (((reinterpret_cast<uintptr_t>(pointers) % 16 != 0) || ...)) refuse(kernel, "an array is not aligned to 16 bytes");
}

__host__ __device__ constexpr int64_t blocks_for(int64_t n, int64_t each) { return (n + each - 1) / each; }

// Elements that are moved at once: 16 bytes of them, or a multiple.
template <class E>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(E));
template <class E, int kCount>
struct [[gnu::may_alias]] alignas(sizeof(E) * kCount < 16 ? sizeof(E) * kCount : 16) Pack {
  E e[kCount];
};
template <int kCount, class E>
__device__ __forceinline__ Pack<E, kCount> load_pack(const E* from) {
  return *reinterpret_cast<const Pack<E, kCount>*>(from);
}
template <int kCount, class E>
__device__ __forceinline__ void store_pack(E* to, const Pack<E, kCount>& pack) {
  *reinterpret_cast<Pack<E, kCount>*>(to) = pack;
}

template <int kValue>
struct Count {
  static constexpr int value = kValue;
};

// f(i, Count<n>) for the pieces i … i + n of a row that are this thread's: of 16 bytes where all of the row is made of
// such pieces, else of one element.
template <class E, class F>
__device__ __forceinline__ void over_row(int64_t width, int64_t thread, int64_t num_threads, F f) {
  if (width % kVector<E> == 0) {
    for (int64_t i = thread * kVector<E>; i < width; i += num_threads * kVector<E>) f(i, Count<kVector<E>>{});
  } else {
    for (int64_t i = thread; i < width; i += num_threads) f(i, Count<1>{});
  }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(Bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
template <class E>
__device__ __forceinline__ E from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
// As kernels/element.h: to nearest, ties to even, every NaN the quiet one.
template <>
__device__ __forceinline__ Bf16 from_float<Bf16>(float x) {
  if (x != x) return Bf16{0x7fc0};
  const uint32_t bits = __float_as_uint(x);
  return Bf16{static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// The same value in all lanes, from a tree of fixed shape over `width` (a power of two) neighbouring lanes.
template <class T, class F>
__device__ __forceinline__ T reduce_lanes(T value, F combine, unsigned width = kWarpSize) {
  for (unsigned distance = width / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kFullWarp, value, static_cast<int>(distance)));
  return value;
}

// The same value in all threads of a block of kThreads. Every thread of the block calls it; two calls may follow each
// other.
template <unsigned kThreads, class T, class F>
__device__ __forceinline__ T reduce_block(T value, F combine) {
  constexpr unsigned kWarps = kThreads / kWarpSize;
  TT_SHARED(T, of_warp, kWarps);
  value = reduce_lanes(value, combine);
  __syncthreads();  // of an earlier call all have read
  if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  T result = of_warp[0];
  for (unsigned w = 1; w < kWarps; ++w) result = combine(result, static_cast<T>(of_warp[w]));
  return result;
}

}  // namespace thinktune::kernels::cuda
