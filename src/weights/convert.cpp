// Float to F16, BF16 and Q8_0, and whole tensors from one type to another.
//
//   Q8_0  d = max |x| / 127 (rounded to half where it is stored), q = x * (1 / d) rounded to nearest, ties away from
//   zero
//
// with d and 1 / d in float: the definition of ggml and of the `gguf` package. The room is compiled with
// -ffp-contract=off: a fused multiply-add would round a quant in two places less.
#include "thinktune/weights/convert.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "thinktune/core/error.h"
#include "weights/checks.h"

namespace thinktune::weights {
namespace {

constexpr size_t kBlock = 32;
constexpr size_t kChunk = 8192;  // elements of read_into's buffer: 32 KB, a multiple of every block

// All bits where `condition` holds, else none: selections without branches.
constexpr uint32_t mask(bool condition) { return 0u - static_cast<uint32_t>(condition); }

uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t is_nan = mask((bits & 0x7fffffffu) > 0x7f800000u);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const uint32_t quiet = bits >> 16 | 0x40u;
  return static_cast<uint16_t>((quiet & is_nan) | (rounded & ~is_nan));
}

// A half's subnormal numbers are multiples of 2^-24, a float's numbers from 0.5 to 1 are too: adding 0.5 rounds to one
// of them, ties to even, and leaves it in the fraction.
uint16_t float_to_half(float value) {
  constexpr int32_t kSmallestNormal = (127 - 14) << 23;
  constexpr int32_t kTooLarge = (127 + 16) << 23;  // 2^16; what rounds up to it carries into the exponent by itself
  constexpr int32_t kInfinity = 0x7f800000;
  constexpr int32_t kHalfInfinity = 0x7c00;
  const auto bits = std::bit_cast<int32_t>(value);
  const int32_t sign = bits >> 16 & 0x8000;
  const int32_t magnitude = bits & 0x7fffffff;
  const int32_t subnormal = std::bit_cast<int32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  const int32_t normal = (magnitude - ((127 - 15) << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
  const int32_t nan = kHalfInfinity | std::max(magnitude >> 13 & 0x3ff, 1);  // numpy's choice
  const int32_t finite = magnitude < kSmallestNormal ? subnormal : normal;
  const int32_t number = magnitude >= kTooLarge ? kHalfInfinity : finite;
  return static_cast<uint16_t>(sign | (magnitude > kInfinity ? nan : number));
}

template <uint16_t (*narrow_one)(float)>
void narrow(const float* values, size_t num_values, std::byte* out) {
  std::array<uint16_t, kBlock> block;
  size_t i = 0;
  for (; i + kBlock <= num_values; i += kBlock) {
    for (size_t j = 0; j < kBlock; ++j) block[j] = narrow_one(values[i + j]);
    std::memcpy(out + 2 * i, block.data(), sizeof block);
  }
  for (; i < num_values; ++i) {
    block[0] = narrow_one(values[i]);
    std::memcpy(out + 2 * i, block.data(), sizeof block[0]);
  }
}

// To nearest, ties away from zero, of |x| < 2^22. Adding 0.5 first would carry 0.49999997 over to 1.
inline int32_t round_away(float x) {
  const auto whole = static_cast<int32_t>(x);  // towards zero
  const float rest = x - static_cast<float>(whole);
  return whole + static_cast<int32_t>(rest >= 0.5f) - static_cast<int32_t>(rest <= -0.5f);
}

void pack_q8_0(const float* values, std::byte* out) {
  int32_t largest_bits = 0;  // magnitudes are ordered as their bits are, NaN above infinity
  for (size_t j = 0; j < kBlock; ++j)
    largest_bits = std::max(largest_bits, static_cast<int32_t>(std::bit_cast<uint32_t>(values[j]) & 0x7fffffffu));
  const float largest = std::bit_cast<float>(largest_bits);
  if (!std::isfinite(largest))
    throw core::data_error("a value that is NaN or infinite cannot be stored as Q8_0",
                           "the model is broken: export an earlier checkpoint");
  const float d = largest / 127.0f;
  const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
  const uint16_t half = float_to_half(d);
  std::memcpy(out, &half, sizeof half);
  std::array<int8_t, kBlock> quants{};
  if (std::isfinite(inverse))  // else d is 0 as a half anyway
    for (size_t j = 0; j < kBlock; ++j) quants[j] = static_cast<int8_t>(round_away(values[j] * inverse));
  std::memcpy(out + sizeof half, quants.data(), sizeof quants);
}

}  // namespace

void from_float(DType dtype, const float* values, size_t num_values, std::byte* out) {
  const size_t num_bytes = bytes_of(dtype, num_values);
  if (num_values == 0) return;
  switch (dtype) {
    case DType::F32:
      std::memcpy(out, values, num_bytes);
      return;
    case DType::F16:
      narrow<float_to_half>(values, num_values, out);
      return;
    case DType::BF16:
      narrow<float_to_bfloat16>(values, num_values, out);
      return;
    case DType::Q8_0:
      for (size_t i = 0; i < num_values; i += kBlock, out += bytes_of(DType::Q8_0, kBlock)) pack_q8_0(values + i, out);
      return;
    default:
      TT_CHECK(false, "values cannot be stored as {}", name_of(dtype));
  }
}

void read_into(const TensorInfo& tensor, DType target, void* out) {
  TT_CHECK(target == DType::F32 || target == DType::F16 || target == DType::BF16, "tensors are not read into {}",
           name_of(target));
  const size_t total = tensor.num_elements();
  auto* bytes = static_cast<std::byte*>(out);
  if (tensor.dtype == target) {
    TT_CHECK(tensor.bytes.size() == bytes_of(target, total), "tensor {}: {} bytes are not its {} elements",
             shown(tensor.name), tensor.bytes.size(), total);
    if (total > 0) std::memcpy(bytes, tensor.bytes.data(), tensor.bytes.size());
    return;
  }
  std::array<float, kChunk> values;
  for (size_t first = 0; first < total; first += kChunk) {
    const size_t count = std::min(kChunk, total - first);
    to_float(tensor, first, count, values.data());
    from_float(target, values.data(), count, bytes + bytes_of(target, first));
  }
}

}  // namespace thinktune::weights
