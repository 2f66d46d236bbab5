#include <bit>

#include "kernel_inputs.h"
#include "kernels/cuda/dequantize.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"
#include "thinktune/weights/convert.h"

namespace thinktune::kernels {
namespace {

using cuda::Stored;
using test::DeviceBuffer;
using weights::DType;

class CudaDequantize : public test::DeviceTest {};

struct Pair {
  Stored stored;
  DType dtype;
};
constexpr Pair kAll[] = {{Stored::F16, DType::F16},   {Stored::BF16, DType::BF16}, {Stored::Q4_0, DType::Q4_0},
                         {Stored::Q4_1, DType::Q4_1}, {Stored::Q5_0, DType::Q5_0}, {Stored::Q5_1, DType::Q5_1},
                         {Stored::Q8_0, DType::Q8_0}, {Stored::Q2_K, DType::Q2_K}, {Stored::Q3_K, DType::Q3_K},
                         {Stored::Q4_K, DType::Q4_K}, {Stored::Q5_K, DType::Q5_K}, {Stored::Q6_K, DType::Q6_K}};

// Random bits. Where a half stands (all of them at even places) no NaN and no infinity, which the device's arithmetic
// gives other bits than the host's; small and subnormal ones as they come.
std::vector<uint8_t> bits(size_t bytes, bool finite) {
  std::vector<uint8_t> out(bytes);
  const core::RandomKey key{.seed = bytes, .stream = core::Stream::Init};
  for (size_t i = 0; i < bytes; ++i)
    out[i] = static_cast<uint8_t>(core::random_bits(key, static_cast<uint32_t>(i)) >> 56);
  for (size_t i = 1; finite && i < bytes; i += 2)
    if ((out[i] & 0x7c) == 0x7c) out[i] &= 0xbf;
  return out;
}

TEST_F(CudaDequantize, EqualsTheCpuToTheBit) {
  for (const auto& [stored, dtype] : kAll) {
    const auto block = static_cast<int64_t>(weights::elements_of_block(dtype));
    for (int64_t blocks : {0, 1, 3, 37, 1031}) {
      SCOPED_TRACE(testing::Message() << weights::name_of(dtype) << " of " << blocks << " blocks");
      const int64_t n = blocks * block;
      const auto in = bits(weights::bytes_of(dtype, static_cast<size_t>(n)), block > 1);
      ASSERT_EQ(cuda::stored_bytes(stored, n), static_cast<int64_t>(in.size()));
      std::vector<float> expected(static_cast<size_t>(n));
      weights::to_float({.name = "t", .dtype = dtype, .shape = {n}, .bytes = std::as_bytes(std::span(in))}, 0,
                        static_cast<size_t>(n), expected.data());
      DeviceBuffer<uint8_t> in_d(in);
      DeviceBuffer<float> out(n);
      DeviceBuffer<Bf16> rounded(n);
      cuda::dequantize<float>(stored, in_d.data(), n, out.data(), nullptr);
      cuda::dequantize<Bf16>(stored, in_d.data(), n, rounded.data(), nullptr);
      const auto got = out.read();
      const auto got_rounded = rounded.read();
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << i;
        ASSERT_EQ(got_rounded[i].bits, narrow<Bf16>(expected[i]).bits) << i;
      }
    }
  }
}

// Every half there is.
TEST_F(CudaDequantize, WidensEveryHalf) {
  for (const auto& [stored, dtype] : {kAll[0], kAll[1]}) {
    std::vector<uint16_t> halves(65536);
    for (int i = 0; i < 65536; ++i) halves[i] = static_cast<uint16_t>(i);
    std::vector<float> expected(65536);
    weights::to_float({.name = "t", .dtype = dtype, .shape = {65536}, .bytes = std::as_bytes(std::span(halves))}, 0,
                      65536, expected.data());
    DeviceBuffer<uint16_t> in(halves);
    DeviceBuffer<float> out(65536);
    cuda::dequantize<float>(stored, in.data(), 65536, out.data(), nullptr);
    const auto got = out.read();
    for (int i = 0; i < 65536; ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << i;
  }
}

TEST_F(CudaDequantize, RefusesPartsOfBlocks) {
  EXPECT_THROW(cuda::stored_bytes(Stored::Q4_0, 33), core::Error);
  EXPECT_THROW(cuda::stored_bytes(Stored::Q6_K, 128), core::Error);
}

}  // namespace
}  // namespace thinktune::kernels
