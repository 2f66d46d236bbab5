// to_float against the definitions of the formats, written down here a second time and in double precision.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using test::as_bytes;

double half_value(uint16_t half) {
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  if (exponent == 31) return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

int byte_at(const std::string& bytes, size_t i) { return static_cast<unsigned char>(bytes[i]); }

// Element i of the block of 32 that begins at `start`.
float value_of_small_block(DType dtype, const std::string& bytes, size_t start, size_t i) {
  const double d = half_value(static_cast<uint16_t>(byte_at(bytes, start) | byte_at(bytes, start + 1) << 8));
  const double m = half_value(static_cast<uint16_t>(byte_at(bytes, start + 2) | byte_at(bytes, start + 3) << 8));
  const auto nibble = [&](size_t offset) {
    const int pair = byte_at(bytes, start + offset + i % 16);
    return i < 16 ? pair % 16 : pair / 16;
  };
  const auto fifth = [&](size_t offset) { return 16 * (byte_at(bytes, start + offset + i / 8) >> (i % 8) & 1); };
  // Products of a half and a small integer are exact in float; the sum rounds once.
  switch (dtype) {
    case DType::Q8_0:
      return static_cast<float>(d * static_cast<signed char>(bytes[start + 2 + i]));
    case DType::Q4_0:
      return static_cast<float>(d * (nibble(2) - 8));
    case DType::Q4_1:
      return static_cast<float>(d * nibble(4)) + static_cast<float>(m);
    case DType::Q5_0:
      return static_cast<float>(d * (nibble(6) + fifth(2) - 16));
    case DType::Q5_1:
      return static_cast<float>(d * (nibble(8) + fifth(4))) + static_cast<float>(m);
    default:
      throw std::logic_error("no type of blocks of 32");
  }
}

// Where the half-precision numbers of a block stand.
std::vector<size_t> places_of_halves(DType dtype) {
  switch (dtype) {
    case DType::Q4_1:
    case DType::Q5_1:
    case DType::Q4_K:
    case DType::Q5_K:
      return {0, 2};
    case DType::Q2_K:
      return {80, 82};
    case DType::Q3_K:
      return {108};
    case DType::Q6_K:
      return {208};
    default:
      return {0};
  }
}

// Element i of the block of 256 that begins at `start`, bit by bit from the layout of ggml's structs.
float value_of_large_block(DType dtype, const std::string& bytes, size_t start, size_t i) {
  const auto byte = [&](size_t at) { return byte_at(bytes, start + at); };
  const auto half = [&](size_t at) { return half_value(static_cast<uint16_t>(byte(at) | byte(at + 1) << 8)); };
  const size_t part = i / 128, in_part = i % 128, column = i % 32;
  // The 6-bit scale (first = 0) or minimum (first = 4) of group g in the 12 bytes at `at`.
  const auto six_bits = [&](size_t at, size_t first, size_t g) {
    if (g < 4) return byte(at + first + g) % 64;
    const int pair = byte(at + 8 + g - 4);
    return (first == 0 ? pair % 16 : pair / 16) + byte(at + first + g - 4) / 64 * 16;
  };
  switch (dtype) {
    case DType::Q2_K: {
      const int quant = byte(16 + 32 * part + column) >> (2 * (in_part / 32)) & 3, scale = byte(i / 16);
      return static_cast<float>(half(80) * (scale % 16) * quant) - static_cast<float>(half(82) * (scale / 16));
    }
    case DType::Q3_K: {
      const size_t g = i / 16;
      const int low = g < 8 ? byte(96 + g) % 16 : byte(96 + g - 8) / 16;
      const int scale = low + (byte(104 + g % 4) >> (2 * (g / 4)) & 3) * 16 - 32;
      const int quant =
          (byte(32 + 32 * part + column) >> (2 * (in_part / 32)) & 3) + (byte(column) >> (i / 32) & 1) * 4;
      return static_cast<float>(half(108) * scale * (quant - 4));
    }
    case DType::Q4_K:
    case DType::Q5_K: {
      const size_t g = i / 32, quants = dtype == DType::Q4_K ? 16 : 48;
      int quant = byte(quants + 32 * (g / 2) + column) >> (4 * (g % 2)) & 15;
      if (dtype == DType::Q5_K) quant += (byte(16 + column) >> g & 1) * 16;
      return static_cast<float>(half(0) * six_bits(4, 0, g) * quant) - static_cast<float>(half(2) * six_bits(4, 4, g));
    }
    case DType::Q6_K: {
      const int low = byte(64 * part + i % 64) >> (in_part < 64 ? 0 : 4) & 15;
      const int high = byte(128 + 32 * part + column) >> (2 * (in_part / 32)) & 3;
      return static_cast<float>(half(208) * static_cast<signed char>(byte(192 + i / 16)) * (low + 16 * high - 32));
    }
    default:
      throw std::logic_error("no type of blocks of 256");
  }
}

TEST(Dequantize, EveryHalfIsExact) {
  std::string bytes;
  for (uint32_t half = 0; half < 65536; ++half) bytes += test::bytes_of_value(static_cast<uint16_t>(half));
  std::vector<float> values(65536);
  to_float(DType::F16, as_bytes(bytes), values.size(), values.data());
  for (uint32_t half = 0; half < 65536; ++half) {
    const double expected = half_value(static_cast<uint16_t>(half));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(values[half])) << half;
    } else {
      ASSERT_EQ(static_cast<double>(values[half]), expected) << half;
      ASSERT_EQ(std::signbit(values[half]), half >= 0x8000) << half;
    }
  }
}

TEST(Dequantize, EveryBfloat16IsTheUpperHalfOfAFloat) {
  std::string bytes;
  for (uint32_t value = 0; value < 65536; ++value) bytes += test::bytes_of_value(static_cast<uint16_t>(value));
  std::vector<float> values(65536);
  to_float(DType::BF16, as_bytes(bytes), values.size(), values.data());
  for (uint32_t value = 0; value < 65536; ++value) ASSERT_EQ(std::bit_cast<uint32_t>(values[value]), value << 16);
}

TEST(Dequantize, PlainTypesOfRaggedLengths) {
  for (const size_t count : {0, 1, 31, 32, 33, 67, 1009}) {
    const std::string halves = test::random_bytes(2 * count, count);
    std::vector<float> values(count + 1, 42.0f);
    to_float(DType::BF16, as_bytes(halves), count, values.data());
    for (size_t i = 0; i < count; ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]) >> 16,
                uint32_t(byte_at(halves, 2 * i) | byte_at(halves, 2 * i + 1) << 8));
    EXPECT_EQ(values[count], 42.0f) << "written past the end";

    const std::string floats = test::random_bytes(4 * count, count);
    to_float(DType::F32, as_bytes(floats), count, values.data());
    EXPECT_EQ(std::memcmp(values.data(), floats.data(), floats.size()), 0);
    EXPECT_EQ(values[count], 42.0f) << "written past the end";
  }
}

class DequantizeBlocks : public testing::TestWithParam<DType> {};

TEST_P(DequantizeBlocks, EqualTheirDefinitionAtAnyAlignment) {
  const DType dtype = GetParam();
  const size_t block = elements_of_block(dtype), block_bytes = bytes_of(dtype, block);
  for (const size_t num_blocks : {0, 1, 2, 3, 101}) {
    std::string bytes = test::random_bytes(1 + num_blocks * block_bytes, num_blocks);
    for (size_t b = 0; b < num_blocks; ++b)  // no infinite scales
      for (const size_t place : places_of_halves(dtype)) bytes[1 + b * block_bytes + place + 1] &= '\xbf';
    std::vector<float> values(block * num_blocks + 1, 42.0f);
    to_float(dtype, as_bytes(bytes).subspan(1), block * num_blocks, values.data());  // one byte off any alignment
    for (size_t i = 0; i < block * num_blocks; ++i) {
      const size_t start = 1 + i / block * block_bytes;
      const float expected = block == 32 ? value_of_small_block(dtype, bytes, start, i % block)
                                         : value_of_large_block(dtype, bytes, start, i % block);
      ASSERT_EQ(values[i], expected) << name_of(dtype) << " element " << i;
    }
    EXPECT_EQ(values.back(), 42.0f) << "written past the end";
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DequantizeBlocks,
                         testing::Values(DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q2_K,
                                         DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(Dequantize, SizesOfTypes) {
  EXPECT_EQ(bytes_of(DType::F32, 3), 12u);
  EXPECT_EQ(bytes_of(DType::F16, 3), 6u);
  EXPECT_EQ(bytes_of(DType::BF16, 3), 6u);
  EXPECT_EQ(bytes_of(DType::Q8_0, 64), 68u);
  EXPECT_EQ(bytes_of(DType::Q4_0, 64), 36u);
  EXPECT_EQ(bytes_of(DType::Q4_1, 64), 40u);
  EXPECT_EQ(bytes_of(DType::Q5_0, 64), 44u);
  EXPECT_EQ(bytes_of(DType::Q5_1, 64), 48u);
  EXPECT_EQ(bytes_of(DType::Q5_1, 0), 0u);
  EXPECT_EQ(bytes_of(DType::Q2_K, 512), 2 * 84u);
  EXPECT_EQ(bytes_of(DType::Q3_K, 512), 2 * 110u);
  EXPECT_EQ(bytes_of(DType::Q4_K, 512), 2 * 144u);
  EXPECT_EQ(bytes_of(DType::Q5_K, 512), 2 * 176u);
  EXPECT_EQ(bytes_of(DType::Q6_K, 512), 2 * 210u);
  for (const DType dtype : test::every_dtype())
    EXPECT_EQ(elements_of_block(dtype), dtype <= DType::BF16 ? 1u : dtype <= DType::Q5_1 ? 32u : 256u);
}

TEST(Dequantize, RefusesPartsOfABlockAndWrongSizes) {
  float out[64];
  const std::string bytes(34, '\0');
  test::message_of_error(core::ErrorKind::Internal, [] { bytes_of(DType::Q8_0, 33); });
  test::message_of_error(core::ErrorKind::Internal, [&] { to_float(DType::Q8_0, as_bytes(bytes), 31, out); });
  test::message_of_error(core::ErrorKind::Internal, [&] { to_float(DType::Q8_0, as_bytes(bytes), 64, out); });
  test::message_of_error(core::ErrorKind::Internal, [&] { to_float(DType::F32, as_bytes(bytes), 8, out); });
}

}  // namespace
}  // namespace thinktune::weights
