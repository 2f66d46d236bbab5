// to_float against the definitions of the formats, written down here a second time and in double precision.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

double half_value(uint16_t half) {
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  if (exponent == 31) return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

int byte_at(const std::string& bytes, size_t i) { return static_cast<unsigned char>(bytes[i]); }

// Element i of the block that begins at `start`.
float block_value(DType dtype, const std::string& bytes, size_t start, size_t i) {
  const double d = half_value(static_cast<uint16_t>(byte_at(bytes, start) | byte_at(bytes, start + 1) << 8));
  const double m = half_value(static_cast<uint16_t>(byte_at(bytes, start + 2) | byte_at(bytes, start + 3) << 8));
  const auto nibble = [&](size_t offset) {
    const int pair = byte_at(bytes, start + offset + i % 16);
    return i < 16 ? pair % 16 : pair / 16;
  };
  const auto fifth = [&](size_t offset) { return 16 * (byte_at(bytes, start + offset + i / 8) >> (i % 8) & 1); };
  // Products of a half and a small integer are exact in float; the sum rounds twice (float product, float sum).
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
      throw std::logic_error("no block type");
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
  const size_t block_bytes = bytes_of(dtype, 32);
  for (const size_t num_blocks : {0, 1, 2, 3, 101}) {
    std::string bytes = test::random_bytes(1 + num_blocks * block_bytes, num_blocks);
    for (size_t block = 0; block < num_blocks; ++block)
      for (const size_t high_byte : {1, 3}) bytes[1 + block * block_bytes + high_byte] &= '\xbf';  // no infinite scales
    std::vector<float> values(32 * num_blocks + 1, 42.0f);
    to_float(dtype, as_bytes(bytes).subspan(1), 32 * num_blocks, values.data());  // one byte off any alignment
    for (size_t i = 0; i < 32 * num_blocks; ++i)
      ASSERT_FLOAT_EQ(values[i], block_value(dtype, bytes, 1 + i / 32 * block_bytes, i % 32))
          << name_of(dtype) << " element " << i;
    EXPECT_EQ(values.back(), 42.0f) << "written past the end";
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DequantizeBlocks,
                         testing::Values(DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1),
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
