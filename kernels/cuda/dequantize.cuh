// A thread four neighbouring elements. The layouts of the blocks are those that src/weights/dequantize.cpp and
// dequantize_k.cpp describe. Products and sums are written as intrinsics where fusing them would change a bit.
#pragma once

#include "kernels/cuda/dequantize.h"
#include "kernels/cuda/device.cuh"

namespace thinktune::kernels::cuda {

__device__ __forceinline__ uint32_t bytes2(const uint8_t* in) { return in[0] | uint32_t{in[1]} << 8; }

// Half precision to float, subnormal numbers as an integer times 2^-24 (src/weights/half.h).
__device__ __forceinline__ float half_of(uint32_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  if (magnitude < 0x0400u)
    return __uint_as_float(sign | __float_as_uint(static_cast<float>(static_cast<int>(magnitude)) * 0x1p-24f));
  return __uint_as_float(sign | ((magnitude << 13) + ((127u - 15u) << 23) * (magnitude >= 0x7c00u ? 2 : 1)));
}
__device__ __forceinline__ float half_at(const uint8_t* in) { return half_of(bytes2(in)); }

struct F16Block {
  static constexpr int kBytes = 2, kElements = 1;
  __device__ static float value(const uint8_t* b, int) { return half_at(b); }
};
struct Bf16Block {
  static constexpr int kBytes = 2, kElements = 1;
  __device__ static float value(const uint8_t* b, int) { return __uint_as_float(bytes2(b) << 16); }
};

__device__ __forceinline__ int nibble(const uint8_t* nibbles, int j) {
  return j < 16 ? nibbles[j] & 15 : nibbles[j - 16] >> 4;
}
__device__ __forceinline__ int fifth_bit(const uint8_t* bits, int j) { return (bits[j / 8] >> (j % 8) & 1) << 4; }
__device__ __forceinline__ float scaled(float d, int q) { return __fmul_rn(d, static_cast<float>(q)); }

struct Q4_0Block {
  static constexpr int kBytes = 18, kElements = 32;
  __device__ static float value(const uint8_t* b, int j) { return scaled(half_at(b), nibble(b + 2, j) - 8); }
};
struct Q4_1Block {
  static constexpr int kBytes = 20, kElements = 32;
  __device__ static float value(const uint8_t* b, int j) {
    return __fadd_rn(scaled(half_at(b), nibble(b + 4, j)), half_at(b + 2));
  }
};
struct Q5_0Block {
  static constexpr int kBytes = 22, kElements = 32;
  __device__ static float value(const uint8_t* b, int j) {
    return scaled(half_at(b), (nibble(b + 6, j) | fifth_bit(b + 2, j)) - 16);
  }
};
struct Q5_1Block {
  static constexpr int kBytes = 24, kElements = 32;
  __device__ static float value(const uint8_t* b, int j) {
    return __fadd_rn(scaled(half_at(b), nibble(b + 8, j) | fifth_bit(b + 4, j)), half_at(b + 2));
  }
};
struct Q8_0Block {
  static constexpr int kBytes = 34, kElements = 32;
  __device__ static float value(const uint8_t* b, int j) { return scaled(half_at(b), static_cast<int8_t>(b[2 + j])); }
};

// d · s · q − m · t.
__device__ __forceinline__ float with_minimum(float d, int scale, int q, float m, int minimum) {
  return __fadd_rn(__fmul_rn(scaled(d, scale), static_cast<float>(q)), -scaled(m, minimum));
}

struct Q2_KBlock {
  static constexpr int kBytes = 84, kElements = 256;
  __device__ static float value(const uint8_t* b, int j) {
    const int group = j / 16;
    const uint8_t quant = b[16 + group / 8 * 32 + group % 2 * 16 + j % 16];
    return with_minimum(half_at(b + 80), b[group] & 15, quant >> (group / 2 % 4 * 2) & 3, half_at(b + 82),
                        b[group] >> 4);
  }
};
struct Q3_KBlock {
  static constexpr int kBytes = 110, kElements = 256;
  __device__ static float value(const uint8_t* b, int j) {
    const int group = j / 16;
    const uint8_t* packed = b + 96;
    const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
    const int high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
    const uint8_t quant = b[32 + group / 8 * 32 + group % 2 * 16 + j % 16];
    const int q = (quant >> (group / 2 % 4 * 2) & 3) + (b[group % 2 * 16 + j % 16] >> (group / 2) & 1) * 4 - 4;
    return __fmul_rn(scaled(half_at(b + 108), (low | high << 4) - 32), static_cast<float>(q));
  }
};

struct ScaleAndMinimum {
  int scale, minimum;
};
__device__ __forceinline__ ScaleAndMinimum six_bits(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[4 + group] & 63};
  return {(packed[4 + group] & 15) | packed[group - 4] >> 6 << 4, packed[4 + group] >> 4 | packed[group] >> 6 << 4};
}

struct Q4_KBlock {
  static constexpr int kBytes = 144, kElements = 256;
  __device__ static float value(const uint8_t* b, int j) {
    const int group = j / 32;
    const ScaleAndMinimum s = six_bits(b + 4, group);
    const int q = b[16 + group / 2 * 32 + j % 32] >> (group % 2 * 4) & 15;
    return with_minimum(half_at(b), s.scale, q, half_at(b + 2), s.minimum);
  }
};
struct Q5_KBlock {
  static constexpr int kBytes = 176, kElements = 256;
  __device__ static float value(const uint8_t* b, int j) {
    const int group = j / 32;
    const ScaleAndMinimum s = six_bits(b + 4, group);
    const int q = (b[48 + group / 2 * 32 + j % 32] >> (group % 2 * 4) & 15) | (b[16 + j % 32] >> group & 1) << 4;
    return with_minimum(half_at(b), s.scale, q, half_at(b + 2), s.minimum);
  }
};
struct Q6_KBlock {
  static constexpr int kBytes = 210, kElements = 256;
  __device__ static float value(const uint8_t* b, int j) {
    const int group = j / 16, half = group / 8, quarter = group / 2 % 4, at = group % 2 * 16 + j % 16;
    const int low = b[64 * half + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
    const int high = b[128 + 32 * half + at] >> (2 * quarter) & 3;
    const float scale = scaled(half_at(b + 208), static_cast<int8_t>(b[192 + group]));
    return __fmul_rn(scale, static_cast<float>((low | high << 4) - 32));
  }
};

inline constexpr unsigned kDequantizeThreads = 256;
inline constexpr int kElementsEach = 4;

template <class Block, class E>
__global__ void __launch_bounds__(kDequantizeThreads)
    dequantize_kernel(const uint8_t* in, int64_t num_elements, E* out) {
  const int64_t i = (int64_t{blockIdx.x} * kDequantizeThreads + threadIdx.x) * kElementsEach;
  Pack<E, kElementsEach> pack = {};
  int64_t count = num_elements - i;
  count = count < kElementsEach ? count : kElementsEach;
  for (int j = 0; j < count; ++j) {
    const uint8_t* block = in + (i + j) / Block::kElements * Block::kBytes;
    pack.e[j] = from_float<E>(Block::value(block, static_cast<int>((i + j) % Block::kElements)));
  }
  if (count == kElementsEach)
    store_pack(out + i, pack);
  else
    for (int j = 0; j < count; ++j) out[i + j] = pack.e[j];
}

// f.operator()<Block>() for the type's block.
template <class F>
auto with_block(Stored type, F f) {
  switch (type) {
    case Stored::F16:
      return f(F16Block{});
    case Stored::BF16:
      return f(Bf16Block{});
    case Stored::Q4_0:
      return f(Q4_0Block{});
    case Stored::Q4_1:
      return f(Q4_1Block{});
    case Stored::Q5_0:
      return f(Q5_0Block{});
    case Stored::Q5_1:
      return f(Q5_1Block{});
    case Stored::Q8_0:
      return f(Q8_0Block{});
    case Stored::Q2_K:
      return f(Q2_KBlock{});
    case Stored::Q3_K:
      return f(Q3_KBlock{});
    case Stored::Q4_K:
      return f(Q4_KBlock{});
    case Stored::Q5_K:
      return f(Q5_KBlock{});
    case Stored::Q6_K:
      return f(Q6_KBlock{});
  }
  refuse("dequantize", "an unknown type");
}

int64_t stored_bytes(Stored type, int64_t num_elements) {
  return with_block(type, [&](auto block) {
    using Block = decltype(block);
    if (num_elements % Block::kElements != 0) refuse("dequantize", "the elements are not whole blocks");
    return num_elements / Block::kElements * int64_t{Block::kBytes};
  });
}

template <class E>
void dequantize(Stored type, const void* in, int64_t num_elements, E* out, Stream stream) {
  require_aligned("dequantize", out);
  stored_bytes(type, num_elements);  // refuses what is not whole blocks
  with_block(type, [&](auto block) {
    launch("dequantize", dequantize_kernel<decltype(block), E>,
           {blocks_for(num_elements, kDequantizeThreads * kElementsEach)}, kDequantizeThreads, 0, stream,
           static_cast<const uint8_t*>(in), num_elements, out);
  });
}

#define TT_INSTANTIATE(E) template void dequantize(Stored, const void*, int64_t, E*, Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
