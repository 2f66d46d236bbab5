#include "kernel_inputs.h"
#include "kernels/cuda/glu.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

// Not a DeviceTest: without a driver it does not skip.
TEST(CudaLaunch, ComputesOrSaysWhyNot) {
  const std::vector<float> gate_up(16, 1.0f);
  if (test::device_missing().empty()) {
    test::DeviceBuffer<float> in(gate_up), out(8);
    cuda::glu_forward<float>(in.data(), Activation::Silu, 1, 8, out.data(), nullptr);
    const double silu = 1 / (1 + std::exp(-1.0));
    for (const float x : out.read()) EXPECT_NEAR(x, silu, 4 * kRoundoff<float>);
    return;
  }
  std::vector<float> out(8, 7.0f);
  try {
    cuda::glu_forward<float>(gate_up.data(), Activation::Silu, 1, 8, out.data(), nullptr);
    FAIL() << "a launch without a GPU";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::Device);
    EXPECT_NE(error.message().find("the launch of the CUDA kernel glu"), std::string::npos) << error.message();
  }
  EXPECT_EQ(out, std::vector<float>(8, 7.0f));
}

}  // namespace
}  // namespace thinktune::kernels
