// Parts of tensors, whole tensors in another type, and values on their way into a file.
#include "thinktune/weights/convert.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>

#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::Each;
using testing::HasSubstr;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TensorInfo tensor_of(DType dtype, size_t num_elements, const std::string& bytes) {
  return {"w", dtype, {static_cast<int64_t>(num_elements)}, test::as_bytes(bytes)};
}

// Bit patterns, so that NaN and -0 are compared too.
std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

std::vector<uint16_t> stored(DType dtype, const std::vector<float>& values) {
  std::vector<uint16_t> out(values.size());
  from_float(dtype, values.data(), values.size(), reinterpret_cast<std::byte*>(out.data()));
  return out;
}

uint16_t stored(DType dtype, float value) { return stored(dtype, std::vector<float>{value})[0]; }

class ConvertTypes : public testing::TestWithParam<DType> {};

TEST_P(ConvertTypes, PartsAreTheWhole) {
  const size_t block = elements_of_block(GetParam()), total = 37 * block;
  const std::string bytes = test::random_bytes(bytes_of(GetParam(), total), 1);
  const TensorInfo tensor = tensor_of(GetParam(), total, bytes);
  std::vector<float> whole(total);
  to_float(tensor, whole.data());
  for (const size_t step : {1, 5, 36, 37}) {
    std::vector<float> parts(total + 1, 42.0f);
    for (size_t first = 0; first < total; first += step * block)
      to_float(tensor, first, std::min(step * block, total - first), parts.data() + first);
    EXPECT_EQ(parts.back(), 42.0f) << "written past the end";
    parts.pop_back();
    EXPECT_EQ(bits_of(parts), bits_of(whole)) << step;
  }
  float none = 42.0f;
  to_float(tensor, total, 0, &none);
  EXPECT_EQ(none, 42.0f);
}

TEST_P(ConvertTypes, ReadIntoIsToFloatAndFromFloat) {
  const size_t block = elements_of_block(GetParam());
  for (const size_t total : {size_t{0}, block, 3 * block, 8192 / block * block, 8192 / block * block + block}) {
    const std::string bytes = test::random_bytes(bytes_of(GetParam(), total) + 1, total);
    const TensorInfo tensor{"w", GetParam(), {static_cast<int64_t>(total)}, test::as_bytes(bytes).subspan(1)};
    std::vector<float> values(total);
    to_float(tensor, values.data());
    for (const DType target : {DType::F32, DType::F16, DType::BF16}) {
      std::vector<std::byte> expected(bytes_of(target, total)), got(expected.size() + 1, std::byte{42});
      from_float(target, values.data(), total, expected.data());
      if (GetParam() == target && total > 0) std::memcpy(expected.data(), tensor.bytes.data(), expected.size());
      read_into(tensor, target, got.data());
      EXPECT_EQ(got.back(), std::byte{42}) << "written past the end";
      got.pop_back();
      EXPECT_TRUE(got == expected) << total << " elements into " << name_of(target);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ConvertTypes, testing::ValuesIn(test::every_dtype()),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(Convert, RefusesPartsOfBlocksAndPlacesOutside) {
  const std::string bytes(68, '\0');
  const TensorInfo tensor = tensor_of(DType::Q8_0, 64, bytes);
  float out[128];
  const auto refuse = [&](size_t first, size_t count) {
    test::message_of_error(core::ErrorKind::Internal, [&] { to_float(tensor, first, count, out); });
  };
  refuse(1, 32);
  refuse(0, 31);
  refuse(0, 96);
  refuse(96, 0);
  refuse(32, 64);
  refuse(32, std::numeric_limits<size_t>::max() - 31);  // wraps around
  test::message_of_error(core::ErrorKind::Internal, [&] { read_into(tensor, DType::Q8_0, out); });
  test::message_of_error(core::ErrorKind::Internal, [&] { read_into(tensor, DType::Q4_0, out); });
}

TEST(Convert, RefusesToStoreWhatItCannot) {
  const std::vector<float> values(256);
  std::vector<std::byte> out(1024);
  for (const DType dtype : test::every_dtype()) {
    if (dtype <= DType::Q8_0) continue;
    EXPECT_THAT(test::message_of_error(core::ErrorKind::Internal,
                                       [&] { from_float(dtype, values.data(), values.size(), out.data()); }),
                HasSubstr("cannot be stored as " + std::string(name_of(dtype))));
  }
  test::message_of_error(core::ErrorKind::Internal, [&] { from_float(DType::Q8_0, values.data(), 31, out.data()); });
}

TEST(Convert, EveryHalfAndEveryBfloat16ComesBack) {
  for (const DType dtype : {DType::F16, DType::BF16}) {
    std::vector<uint16_t> all(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
    std::vector<float> values(all.size());
    to_float(dtype, std::as_bytes(std::span(all)), all.size(), values.data());
    const std::vector<uint16_t> back = stored(dtype, values);
    for (size_t i = 0; i < all.size(); ++i) {
      if (!std::isnan(values[i])) {
        ASSERT_EQ(back[i], all[i]) << name_of(dtype);
      } else {
        std::vector<float> again(1);
        to_float(dtype, std::as_bytes(std::span(&back[i], 1)), 1, again.data());
        ASSERT_TRUE(std::isnan(again[0])) << name_of(dtype) << " " << i;
      }
    }
  }
}

TEST(Convert, HalvesAreTheNearestTiesToEven) {
  // Between every two neighbours: what lies below the middle goes down, above it up, the middle to the even one.
  for (uint16_t low = 0; low < 0x7bff; ++low) {
    const uint16_t pair[2] = {low, static_cast<uint16_t>(low + 1)};
    float ends[2];
    to_float(DType::F16, std::as_bytes(std::span(pair)), 2, ends);
    const float middle = (ends[0] + ends[1]) / 2;  // exact
    ASSERT_EQ(stored(DType::F16, middle), low % 2 == 0 ? low : low + 1) << middle;
    ASSERT_EQ(stored(DType::F16, std::nextafter(middle, 0.0f)), low) << middle;
    ASSERT_EQ(stored(DType::F16, -std::nextafter(middle, kInfinity)), 0x8000 | (low + 1)) << middle;
  }
}

TEST(Convert, HalvesAtTheEndsOfTheirRange) {
  EXPECT_EQ(stored(DType::F16, 65504.0f), 0x7bff);
  EXPECT_EQ(stored(DType::F16, std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(stored(DType::F16, 65520.0f), 0x7c00);
  EXPECT_EQ(stored(DType::F16, -1e30f), 0xfc00);
  EXPECT_EQ(stored(DType::F16, kInfinity), 0x7c00);
  EXPECT_EQ(stored(DType::F16, 0x1p-25f), 0x0000);
  EXPECT_EQ(stored(DType::F16, std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(stored(DType::F16, 1e-45f), 0x0000);
  EXPECT_EQ(stored(DType::F16, -0.0f), 0x8000);
  EXPECT_EQ(stored(DType::F16, kNan) & 0x7c00, 0x7c00);
  EXPECT_NE(stored(DType::F16, kNan) & 0x03ff, 0);
  EXPECT_NE(stored(DType::F16, std::bit_cast<float>(0x7f800001u)) & 0x03ff, 0) << "a NaN became infinite";
}

TEST(Convert, Bfloat16IsTheNearestTiesToEven) {
  EXPECT_EQ(stored(DType::BF16, std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(stored(DType::BF16, std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(stored(DType::BF16, std::bit_cast<float>(0x3f817fffu)), 0x3f81);
  EXPECT_EQ(stored(DType::BF16, std::bit_cast<float>(0xbf818000u)), 0xbf82);
  EXPECT_EQ(stored(DType::BF16, std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(stored(DType::BF16, -kInfinity), 0xff80);
  EXPECT_EQ(stored(DType::BF16, -0.0f), 0x8000);
  for (const uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xffffffffu, 0xff80ffffu})
    EXPECT_GT(stored(DType::BF16, std::bit_cast<float>(nan)) & 0x7fff, 0x7f80) << nan;
}

// The definition in double precision: the nearest integers to x / (max / 127), ties away from zero.
TEST(Convert, Q8BlocksHoldScaleAndRoundedValues) {
  for (const float scale : {1.0f, 0.0078125f, 1e-4f, 300.0f}) {
    std::vector<float> values;
    for (int i = 0; i < 64; ++i) values.push_back(scale * static_cast<float>((i * 37 + 11) % 127 - 63));
    values[3] = 127 * scale, values[40] = -127 * scale;
    values[5] = 2.5f * scale, values[6] = -2.5f * scale, values[7] = 0.49f * scale;
    std::vector<std::byte> out(68);
    from_float(DType::Q8_0, values.data(), 64, out.data());
    for (size_t i = 0; i < 64; ++i) {
      const auto quant = static_cast<int8_t>(out[i / 32 * 34 + 2 + i % 32]);
      EXPECT_NEAR(quant, values[i] / scale, 0.51) << i;
    }
    if (scale == 1.0f) {
      EXPECT_EQ(static_cast<int8_t>(out[2 + 5]), 3);
      EXPECT_EQ(static_cast<int8_t>(out[2 + 6]), -3);
      EXPECT_EQ(static_cast<int8_t>(out[2 + 7]), 0);
    }
    std::vector<float> back(64);
    to_float(DType::Q8_0, out, 64, back.data());
    // Half a step of the scale, and the scale itself to half a unit of a half (a normal one here).
    for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(back[i], values[i], scale * (0.5f + 127.0f * 0x1p-11f) * 1.001f) << i;
  }
}

TEST(Convert, Q8BlocksOfZerosAndOfTinyValuesAreZeros) {
  for (const float tiny : {0.0f, -0.0f, 1e-45f, 1e-39f}) {
    const std::vector<float> values(32, tiny);
    std::vector<std::byte> out(34, std::byte{42});
    from_float(DType::Q8_0, values.data(), 32, out.data());
    std::vector<float> back(32);
    to_float(DType::Q8_0, out, 32, back.data());
    EXPECT_THAT(back, Each(0.0f)) << tiny;
  }
}

TEST(Convert, Q8RefusesWhatIsNotFinite) {
  for (const float bad : {kInfinity, -kInfinity, kNan, -kNan})
    for (const size_t place : {0, 31, 40}) {
      std::vector<float> values(64, 1.0f);
      values[place] = bad;
      std::vector<std::byte> out(68);
      EXPECT_THAT(test::message_of_error(core::ErrorKind::Data,
                                         [&] { from_float(DType::Q8_0, values.data(), 64, out.data()); }),
                  HasSubstr("NaN or infinite cannot be stored as Q8_0"));
    }
}

}  // namespace
}  // namespace thinktune::weights
