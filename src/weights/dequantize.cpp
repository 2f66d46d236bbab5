// Blocks to float; those of 256 elements are in dequantize_k.cpp. q: the stored integer, d: the block's scale, m: its
// minimum (both half precision).
//
//   Q8_0  x = d q,        q in [-128, 127]          Q4_1  x = d q + m,  q in [0, 15]
//   Q4_0  x = d (q - 8),  q in [0, 15]              Q5_1  x = d q + m,  q in [0, 31]
//   Q5_0  x = d (q - 16), q in [0, 31]
//
// Byte j of the nibbles holds elements j (low) and j + 16 (high); bit j of the fifth bits belongs to element j. Source:
// the block structs of ggml and the `gguf` package, whose values these equal.
//
// The inner loops have constant lengths and read local arrays, so that the compiler vectorises them without alias
// checks; input may have any alignment.
#include <array>
#include <bit>
#include <cstring>

#include "thinktune/core/error.h"
#include "thinktune/weights/convert.h"
#include "thinktune/weights/tensor_source.h"
#include "weights/checks.h"
#include "weights/dequantize_k.h"
#include "weights/half.h"

namespace thinktune::weights {
namespace {

static_assert(std::endian::native == std::endian::little,
              "GGUF and safetensors are little-endian, and are read in place");

constexpr size_t kBlock = 32;
constexpr size_t kHalf = kBlock / 2;

template <class Widen>
void widen(const std::byte* in, size_t num_elements, float* out, Widen to_value) {
  std::array<uint16_t, kBlock> values;
  size_t i = 0;
  for (; i + kBlock <= num_elements; i += kBlock) {
    std::memcpy(values.data(), in + 2 * i, sizeof values);
    for (size_t j = 0; j < kBlock; ++j) out[i + j] = to_value(values[j]);
  }
  for (; i < num_elements; ++i) {
    std::memcpy(values.data(), in + 2 * i, sizeof values[0]);
    out[i] = to_value(values[0]);
  }
}

void unpack_q8_0(const std::byte* in, float* out) {
  const float d = read_half(in);
  std::array<int8_t, kBlock> quants;
  std::memcpy(quants.data(), in + 2, sizeof quants);
  for (size_t j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(quants[j]);
}

// Elements 0..31 of the nibbles, in order.
inline std::array<int32_t, kBlock> unpack_nibbles(const std::byte* in) {
  std::array<uint8_t, kHalf> bytes;
  std::memcpy(bytes.data(), in, sizeof bytes);
  std::array<int32_t, kBlock> quants;
  for (size_t j = 0; j < kHalf; ++j) quants[j] = bytes[j] & 15;
  for (size_t j = 0; j < kHalf; ++j) quants[kHalf + j] = bytes[j] >> 4;
  return quants;
}

// A table because SSE2 has no shift by another count in each lane.
constexpr std::array<uint32_t, kBlock> kBitOf = [] {
  std::array<uint32_t, kBlock> bits{};
  for (size_t j = 0; j < kBlock; ++j) bits[j] = 1u << j;
  return bits;
}();

// The same with each element's fifth bit; `in` points at the 32 bits, the nibbles follow.
inline std::array<int32_t, kBlock> unpack_five_bits(const std::byte* in) {
  uint32_t fifth_bits = 0;
  std::memcpy(&fifth_bits, in, sizeof fifth_bits);
  std::array<int32_t, kBlock> quants = unpack_nibbles(in + sizeof fifth_bits);
  for (size_t j = 0; j < kBlock; ++j) quants[j] |= static_cast<int32_t>((fifth_bits & kBitOf[j]) != 0) << 4;
  return quants;
}

void unpack_q4_0(const std::byte* in, float* out) {
  const float d = read_half(in);
  const auto quants = unpack_nibbles(in + 2);
  for (size_t j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(quants[j] - 8);
}

void unpack_q4_1(const std::byte* in, float* out) {
  const float d = read_half(in);
  const float m = read_half(in + 2);
  const auto quants = unpack_nibbles(in + 4);
  for (size_t j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(quants[j]) + m;
}

void unpack_q5_0(const std::byte* in, float* out) {
  const float d = read_half(in);
  const auto quants = unpack_five_bits(in + 2);
  for (size_t j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(quants[j] - 16);
}

void unpack_q5_1(const std::byte* in, float* out) {
  const float d = read_half(in);
  const float m = read_half(in + 2);
  const auto quants = unpack_five_bits(in + 4);
  for (size_t j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(quants[j]) + m;
}

template <void (*unpack)(const std::byte*, float*), size_t elements = kBlock>
void unpack_blocks(const std::byte* in, size_t num_elements, size_t block_bytes, float* out) {
  for (size_t i = 0; i < num_elements; i += elements, in += block_bytes) unpack(in, out + i);
}

}  // namespace

void to_float(DType dtype, std::span<const std::byte> bytes, size_t num_elements, float* out) {
  const size_t expected = bytes_of(dtype, num_elements);
  TT_CHECK(bytes.size() == expected, "{} elements of {} are {} bytes, not {}", num_elements, name_of(dtype), expected,
           bytes.size());
  if (num_elements == 0) return;
  const std::byte* in = bytes.data();
  const size_t block_bytes = block_size(dtype).bytes;
  switch (dtype) {
    case DType::F32:
      std::memcpy(out, in, bytes.size());
      return;
    case DType::F16:
      widen(in, num_elements, out, half_to_float);
      return;
    case DType::BF16:
      widen(in, num_elements, out, bfloat16_to_float);
      return;
    case DType::Q8_0:
      unpack_blocks<unpack_q8_0>(in, num_elements, block_bytes, out);
      return;
    case DType::Q4_0:
      unpack_blocks<unpack_q4_0>(in, num_elements, block_bytes, out);
      return;
    case DType::Q4_1:
      unpack_blocks<unpack_q4_1>(in, num_elements, block_bytes, out);
      return;
    case DType::Q5_0:
      unpack_blocks<unpack_q5_0>(in, num_elements, block_bytes, out);
      return;
    case DType::Q5_1:
      unpack_blocks<unpack_q5_1>(in, num_elements, block_bytes, out);
      return;
    case DType::Q2_K:
      unpack_blocks<unpack_q2_k, kSuperBlock>(in, num_elements, block_bytes, out);
      return;
    case DType::Q3_K:
      unpack_blocks<unpack_q3_k, kSuperBlock>(in, num_elements, block_bytes, out);
      return;
    case DType::Q4_K:
      unpack_blocks<unpack_q4_k, kSuperBlock>(in, num_elements, block_bytes, out);
      return;
    case DType::Q5_K:
      unpack_blocks<unpack_q5_k, kSuperBlock>(in, num_elements, block_bytes, out);
      return;
    case DType::Q6_K:
      unpack_blocks<unpack_q6_k, kSuperBlock>(in, num_elements, block_bytes, out);
      return;
  }
}

void to_float(const TensorInfo& tensor, float* out) {
  to_float(tensor.dtype, tensor.bytes, tensor.num_elements(), out);
}

void to_float(const TensorInfo& tensor, size_t first_element, size_t num_elements, float* out) {
  const size_t total = tensor.num_elements();
  TT_CHECK(first_element <= total && num_elements <= total - first_element,
           "elements {} to {} of tensor {}, which has {}", first_element, first_element + num_elements,
           shown(tensor.name), total);
  const size_t first_byte = bytes_of(tensor.dtype, first_element);
  to_float(tensor.dtype, tensor.bytes.subspan(first_byte, bytes_of(tensor.dtype, num_elements)), num_elements, out);
}

}  // namespace thinktune::weights
