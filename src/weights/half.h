// Half precision and bfloat16 to float, without branches, so that the compiler vectorises loops of them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace thinktune::weights {

// Normal numbers get the exponent moved, subnormal ones are an integer times 2^-24 (no float32 subnormal occurs on the
// way, so the result does not depend on the flush-to-zero mode), infinities and NaN get the largest exponent.
inline float half_to_float(uint16_t half) {
  constexpr uint32_t kRebias = (127u - 15u) << 23;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t is_special = 0u - static_cast<uint32_t>(magnitude >= 0x7c00u);  // all bits or none
  const uint32_t is_subnormal = 0u - static_cast<uint32_t>(magnitude < 0x0400u);
  const uint32_t normal = (magnitude << 13) + kRebias + (is_special & kRebias);
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  return std::bit_cast<float>(sign | (subnormal & is_subnormal) | (normal & ~is_subnormal));
}

inline float bfloat16_to_float(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

inline float read_half(const std::byte* in) {
  uint16_t half = 0;
  std::memcpy(&half, in, sizeof half);
  return half_to_float(half);
}

}  // namespace thinktune::weights
