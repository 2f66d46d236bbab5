// The K types: 256 elements with two levels of scales. d, m: the block's halves; s_g, t_g: the small integers that
// scale group g; q: the stored integer. Bytes of a block in this order:
//
//   Q2_K  16 scales (s low, t high nibble), 64 quants, d, m            x = d s_g q - m t_g        q in [0, 3],   16
//   groups Q3_K  32 high bits, 64 quants, 12 scales, d                        x = d (s_g - 32) (q - 4)   q in [0, 7],
//   16 groups Q4_K  d, m, 12 scales, 128 quants                                  x = d s_g q - m t_g        q in [0,
//   15],   8 groups Q5_K  d, m, 12 scales, 32 high bits, 128 quants                    x = d s_g q - m t_g        q in
//   [0, 31],   8 groups Q6_K  128 low quants, 64 high quants, 16 scales (signed), d        x = d s_g (q - 32)         q
//   in [0, 63],  16 groups
//
// Source: the block structs of ggml and the `gguf` package, whose values these equal to the last bit. A half (11 bits)
// times a scale (at most 7) times a quant (at most 5) fits a float's 24 bits, so every product is exact and it does not
// matter whether the compiler fuses one with the sum behind it.
//
// As in dequantize.cpp, inner loops have constant lengths and read local arrays.
#include "weights/dequantize_k.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "weights/half.h"

namespace thinktune::weights {
namespace {

template <size_t kSize>
using Bytes = std::array<uint8_t, kSize>;

template <size_t kSize>
Bytes<kSize> load(const std::byte* in) {
  Bytes<kSize> bytes;
  std::memcpy(bytes.data(), in, kSize);
  return bytes;
}

// Scales and minima of Q4_K and Q5_K: six bits each. Groups 0..3 have theirs in the low six bits of bytes 0..3
// and 4..7; groups 4..7 have the low four bits in bytes 8..11 (scale low, minimum high nibble), the upper two in the
// tops of bytes 0..3 and 4..7.
struct ScalesAndMinima {
  Bytes<8> scales, minima;
};

ScalesAndMinima unpack_scales_and_minima(const std::byte* in) {
  const auto packed = load<12>(in);
  ScalesAndMinima result;
  for (size_t g = 0; g < 4; ++g) {
    result.scales[g] = packed[g] & 63;
    result.minima[g] = packed[4 + g] & 63;
    result.scales[4 + g] = static_cast<uint8_t>((packed[8 + g] & 15) | (packed[g] >> 6 << 4));
    result.minima[4 + g] = static_cast<uint8_t>((packed[8 + g] >> 4) | (packed[4 + g] >> 6 << 4));
  }
  return result;
}

// Scales of Q3_K: the low four bits of 0..7 and 8..15 are the nibbles of bytes 0..7, the upper two of scale g are bits
// 2 (g / 4) of byte 8 + g % 4.
std::array<int32_t, 16> unpack_q3_scales(const std::byte* in) {
  const auto packed = load<12>(in);
  std::array<int32_t, 16> scales;
  for (size_t g = 0; g < 16; ++g) {
    const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
    const int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
    scales[g] = (low | high << 4) - 32;
  }
  return scales;
}

}  // namespace

// Byte 32 c + j holds, from the lowest bits on, elements 128 c + j, + 32, + 64, + 96.
void unpack_q2_k(const std::byte* in, float* out) {
  const auto scales = load<16>(in);
  const auto quants = load<64>(in + 16);
  const float d = read_half(in + 80), m = read_half(in + 82);
  for (size_t group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group] & 15);
    const float minimum = m * static_cast<float>(scales[group] >> 4);
    const uint8_t* bytes = quants.data() + group / 8 * 32 + group % 2 * 16;
    const size_t shift = group / 2 % 4 * 2;
    for (size_t j = 0; j < 16; ++j) out[16 * group + j] = scale * static_cast<float>(bytes[j] >> shift & 3) - minimum;
  }
}

// Quants as in Q2_K; bit i of high byte j belongs to element 32 i + j, and adds 4 where it is set.
void unpack_q3_k(const std::byte* in, float* out) {
  const auto high_bits = load<32>(in);
  const auto quants = load<64>(in + 32);
  const auto scales = unpack_q3_scales(in + 96);
  const float d = read_half(in + 108);
  for (size_t group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    const uint8_t* bytes = quants.data() + group / 8 * 32 + group % 2 * 16;
    const uint8_t* highs = high_bits.data() + group % 2 * 16;
    const size_t shift = group / 2 % 4 * 2, bit = group / 2;
    for (size_t j = 0; j < 16; ++j) {
      const int quant = (bytes[j] >> shift & 3) + (highs[j] >> bit & 1) * 4 - 4;
      out[16 * group + j] = scale * static_cast<float>(quant);
    }
  }
}

// Byte 32 c + j holds elements 64 c + j (low nibble) and 64 c + 32 + j.
void unpack_q4_k(const std::byte* in, float* out) {
  const float d = read_half(in), m = read_half(in + 2);
  const auto [scales, minima] = unpack_scales_and_minima(in + 4);
  const auto quants = load<128>(in + 16);
  for (size_t group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scales[group]), minimum = m * static_cast<float>(minima[group]);
    const uint8_t* bytes = quants.data() + group / 2 * 32;
    const size_t shift = group % 2 * 4;
    for (size_t j = 0; j < 32; ++j) out[32 * group + j] = scale * static_cast<float>(bytes[j] >> shift & 15) - minimum;
  }
}

// As Q4_K; bit i of high byte j belongs to element 32 i + j.
void unpack_q5_k(const std::byte* in, float* out) {
  const float d = read_half(in), m = read_half(in + 2);
  const auto [scales, minima] = unpack_scales_and_minima(in + 4);
  const auto high_bits = load<32>(in + 16);
  const auto quants = load<128>(in + 48);
  for (size_t group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scales[group]), minimum = m * static_cast<float>(minima[group]);
    const uint8_t* bytes = quants.data() + group / 2 * 32;
    const size_t shift = group % 2 * 4;
    for (size_t j = 0; j < 32; ++j) {
      const int quant = (bytes[j] >> shift & 15) | (high_bits[j] >> group & 1) << 4;
      out[32 * group + j] = scale * static_cast<float>(quant) - minimum;
    }
  }
}

// Low byte 64 c + j holds elements 128 c + j (low nibble) and 128 c + 64 + j; high byte 32 c + j holds, two bits each
// from the lowest on, elements 128 c + j, + 32, + 64, + 96.
void unpack_q6_k(const std::byte* in, float* out) {
  const auto lows = load<128>(in);
  const auto highs = load<64>(in + 128);
  const auto scales = load<16>(in + 192);
  const float d = read_half(in + 208);
  for (size_t group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(static_cast<int8_t>(scales[group]));
    const size_t half = group / 8, quarter = group / 2 % 4, offset = group % 2 * 16;
    const uint8_t* low = lows.data() + 64 * half + quarter % 2 * 32 + offset;
    const uint8_t* high = highs.data() + 32 * half + offset;
    const size_t low_shift = quarter / 2 * 4, high_shift = 2 * quarter;
    for (size_t j = 0; j < 16; ++j) {
      const int quant = ((low[j] >> low_shift & 15) | (high[j] >> high_shift & 3) << 4) - 32;
      out[16 * group + j] = scale * static_cast<float>(quant);
    }
  }
}

}  // namespace thinktune::weights
