#include "kernel_inputs.h"
#include "kernels/cuda/glu.h"
#include "kernels/cuda/rope.h"
#include "support/device_buffer.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

using test::DeviceBuffer;

template <class E>
class CudaElementwise : public test::DeviceTest {};
using DeviceElements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CudaElementwise, DeviceElements);

// Rotations as a fused product leaves the heads: strides wider than what is turned, and a start that is not aligned.
TYPED_TEST(CudaElementwise, RopeEqualsTheDoubleTwinAndTurnsBack) {
  using E = TypeParam;
  for (int64_t head_size : {2, 6, 16, 64, 80, 128, 256})
    for (int64_t tokens : {0, 1, 7})
      for (int64_t start : {0, 3}) {
        SCOPED_TRACE(testing::Message() << head_size << " " << tokens << " " << start);
        const int64_t heads = 3, half = head_size / 2;
        const RopeShape shape{tokens, heads, head_size, heads * head_size + 16, head_size};
        const auto x = normals<E>(start + tokens * shape.token_stride, 1);
        std::vector<float> cos, sin;
        for (int64_t i = 0; i < tokens * half; ++i) {
          cos.push_back(static_cast<float>(std::cos(0.37 * static_cast<double>(i))));
          sin.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(i))));
        }
        const std::vector<double> wide_cos(cos.begin(), cos.end()), wide_sin(sin.begin(), sin.end());
        DeviceBuffer<E> x_d(x), y(tokens * heads * head_size);
        DeviceBuffer<float> cos_d(cos), sin_d(sin);
        for (bool forward : {true, false}) {
          cuda::rope<E>(x_d.data() + start, cos_d.data(), sin_d.data(), shape, forward, y.data(), nullptr);
          std::vector<double> expected(y.size());
          rope(widened(x).data() + start, wide_cos.data(), wide_sin.data(), shape, forward, expected.data());
          const auto out = widened(y.read());
          for (size_t i = 0; i < out.size(); ++i) {
            const size_t pair = i % head_size < static_cast<size_t>(half) ? i + half : i - half;
            const double norm = std::hypot(expected[i], expected[pair]);
            ASSERT_NEAR(out[i], expected[i], std::abs(expected[i]) * kRoundoff<E> + 3 * norm * kRoundoff<float>) << i;
          }
        }
      }
}

TYPED_TEST(CudaElementwise, GluEqualsTheDoubleTwin) {
  using E = TypeParam;
  for (Activation activation : {Activation::Silu, Activation::GeluTanh})
    for (int64_t width : {1, 7, 8, 9, 1031, 1536})
      for (int64_t rows : {0, 1, 5}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(activation) << " " << width << " " << rows);
        const auto gate_up = normals<E>(rows * 2 * width, 1, 3.0), dout = normals<E>(rows * width, 2);
        DeviceBuffer<E> in(gate_up), d(dout), out(rows * width), din(rows * 2 * width);
        cuda::glu_forward<E>(in.data(), activation, rows, width, out.data(), nullptr);
        cuda::glu_backward<E>(in.data(), d.data(), activation, rows, width, din.data(), nullptr);
        std::vector<double> expected(rows * width), gradient(rows * 2 * width);
        glu_forward(widened(gate_up).data(), activation, rows, width, expected.data());
        glu_backward(widened(gate_up).data(), widened(dout).data(), activation, rows, width, gradient.data());
        const auto y = widened(out.read()), dx = widened(din.read());
        for (int64_t i = 0; i < rows * width; ++i) {
          const int64_t g = i / width * 2 * width + i % width;
          const double gate = widen(gate_up[g]), up = widen(gate_up[g + width]), dy = widen(dout[i]);
          // exp of z has the relative error |z| roundings, and z three of its own; beyond exp(−88) float has nothing.
          const double z =
              activation == Activation::Silu ? gate : kTwiceRootOfTwoByPi * (gate + kGeluCubic * gate * gate * gate);
          const double error = (4 * std::abs(z) + 12) * kRoundoff<float>;
          ASSERT_NEAR(y[i], expected[i], std::abs(expected[i]) * (kRoundoff<E> + error) + 1e-35);
          ASSERT_NEAR(dx[g + width], gradient[g + width],
                      std::abs(gradient[g + width]) * (kRoundoff<E> + error) + 1e-35);
          // The two terms of dgate, which may cancel.
          const double sigma = 1 / (1 + std::exp(-z));
          const double slope =
              activation == Activation::Silu ? 1 : kTwiceRootOfTwoByPi * (1 + 3 * kGeluCubic * gate * gate);
          const double magnitude = std::abs(dy * up) * sigma * (1 + std::abs(gate) * slope);
          ASSERT_NEAR(dx[g], gradient[g], std::abs(gradient[g]) * kRoundoff<E> + magnitude * error + 1e-35);
        }
      }
}

TYPED_TEST(CudaElementwise, GluIsFiniteAtTheEndsOfTheRange) {
  using E = TypeParam;
  for (Activation activation : {Activation::Silu, Activation::GeluTanh}) {
    std::vector<E> gate_up;
    for (float gate : {-1e20f, -3e4f, -200.0f, 0.0f, 200.0f, 3e4f, 1e20f}) gate_up.push_back(narrow<E>(gate));
    for (int i = 0; i < 7; ++i) gate_up.push_back(narrow<E>(1.0f));
    DeviceBuffer<E> in(gate_up), d(std::vector<E>(7, narrow<E>(1.0f))), out(7), din(14);
    cuda::glu_forward<E>(in.data(), activation, 1, 7, out.data(), nullptr);
    cuda::glu_backward<E>(in.data(), d.data(), activation, 1, 7, din.data(), nullptr);
    const auto y = widened(out.read()), dx = widened(din.read());
    for (int i = 0; i < 7; ++i) {
      const double gate = widen(gate_up[i]);
      if (gate != 0) {
        EXPECT_EQ(y[i], gate > 0 ? gate : 0) << gate;
        EXPECT_EQ(dx[i], gate > 0 ? 1 : 0) << gate;
      } else {
        EXPECT_EQ(dx[i], 0.5);
      }
    }
  }
}

TYPED_TEST(CudaElementwise, RefusesWhatTheContractExcludes) {
  using E = TypeParam;
  DeviceBuffer<E> x(64), y(64);
  DeviceBuffer<float> angles(64);
  EXPECT_THROW(cuda::rope<E>(x.data(), angles.data(), angles.data(), {1, 1, 7, 7, 7}, true, y.data(), nullptr),
               core::Error);
  EXPECT_THROW(cuda::glu_forward<E>(x.data(), Activation::Silu, 1, 0, y.data(), nullptr), core::Error);
  EXPECT_THROW(cuda::glu_forward<E>(x.data() + 1, Activation::Silu, 1, 8, y.data(), nullptr), core::Error);
}

}  // namespace
}  // namespace thinktune::kernels
