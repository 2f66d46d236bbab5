#include "kernel_inputs.h"
#include "kernels/cuda/rms_norm.h"
#include "support/device_buffer.h"

namespace thinktune::kernels {
namespace {

using test::DeviceBuffer;

template <class E>
class CudaRmsNorm : public test::DeviceTest {};
using DeviceElements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CudaRmsNorm, DeviceElements);

const int64_t kWidths[] = {1, 7, 8, 127, 128, 576, 1031, 2048};
constexpr RmsNormForm kForms[] = {{1e-5, false, true}, {1e-6, true, false}, {1e-6, false, false}};

// What roundings of the form allow, relative to the value: the products, the mean of `width` squares, the stores.
template <class E>
double tolerance(int64_t width) {
  return 3 * kRoundoff<E> + (std::sqrt(static_cast<double>(width)) + 16) * kRoundoff<float>;
}

TYPED_TEST(CudaRmsNorm, ForwardEqualsTheDoubleTwin) {
  using E = TypeParam;
  for (const RmsNormForm& form : kForms)
    for (int64_t width : kWidths)
      for (int64_t rows : {0, 1, 5}) {
        const auto x = normals<E>(rows * width, 1, 3.0), weight = normals<E>(width, 2);
        DeviceBuffer<E> dx(x), dw(weight), y(rows * width);
        DeviceBuffer<float> inverse(rows);
        cuda::rms_norm_forward<E>(dx.data(), nullptr, dw.data(), form, rows, width, y.data(), inverse.data(), nullptr);

        std::vector<double> expected(rows * width), expected_inverse(rows);
        rms_norm_forward<double>(widened(x).data(), nullptr, widened(weight).data(), form, rows, width, expected.data(),
                                 expected_inverse.data());
        const auto out = widened(y.read());
        for (size_t i = 0; i < out.size(); ++i)
          EXPECT_NEAR(out[i], expected[i], std::abs(expected[i]) * tolerance<E>(width)) << width << " " << i;
        const auto inverse_out = inverse.read();
        for (int64_t r = 0; r < rows; ++r)
          EXPECT_NEAR(inverse_out[r], expected_inverse[r], expected_inverse[r] * tolerance<float>(width));
      }
}

TYPED_TEST(CudaRmsNorm, AddsToTheResidualFirst) {
  using E = TypeParam;
  for (int64_t width : kWidths) {
    const int64_t rows = 3;
    const auto x = normals<E>(rows * width, 1), residual = normals<E>(rows * width, 2), weight = normals<E>(width, 3);
    DeviceBuffer<E> dx(x), dr(residual), dw(weight), y(rows * width), alone(rows * width);
    cuda::rms_norm_forward<E>(dx.data(), dr.data(), dw.data(), kForms[0], rows, width, y.data(), nullptr, nullptr);
    const auto sum = dr.read();
    for (int64_t i = 0; i < rows * width; ++i)
      EXPECT_EQ(widen(sum[i]), widen(narrow<E>(widen(x[i]) + widen(residual[i]))));
    cuda::rms_norm_forward<E>(dr.data(), nullptr, dw.data(), kForms[0], rows, width, alone.data(), nullptr, nullptr);
    EXPECT_EQ(widened(y.read()), widened(alone.read()));
  }
}

TYPED_TEST(CudaRmsNorm, BackwardEqualsTheDoubleTwin) {
  using E = TypeParam;
  for (const RmsNormForm& form : kForms)
    for (int64_t width : kWidths)
      for (int64_t rows : {0, 1, 131}) {
        const auto x = normals<E>(rows * width, 1), weight = normals<E>(width, 2), dy = normals<E>(rows * width, 3);
        const auto beside = normals<E>(rows * width, 4);
        std::vector<double> y(rows * width), inverse(rows), dx(rows * width), dweight(width, 0.5);
        rms_norm_forward<double>(widened(x).data(), nullptr, widened(weight).data(), form, rows, width, y.data(),
                                 inverse.data());
        rms_norm_backward<double>(widened(x).data(), widened(weight).data(), form, inverse.data(), widened(dy).data(),
                                  nullptr, rows, width, dx.data(), dweight.data());

        DeviceBuffer<E> x_d(x), weight_d(weight), dy_d(dy), beside_d(beside), dx_d(rows * width);
        DeviceBuffer<float> inverse_d(std::vector<float>(inverse.begin(), inverse.end()));
        DeviceBuffer<float> dweight_d(std::vector<float>(width, 0.5f));
        DeviceBuffer<float> scratch(cuda::rms_norm_backward_scratch(rows, width));
        cuda::rms_norm_backward<E>({x_d.data(), weight_d.data(), inverse_d.data(), dy_d.data(), beside_d.data(),
                                    dx_d.data(), dweight_d.data(), scratch.data()},
                                   form, rows, width, nullptr);
        const auto dx_out = widened(dx_d.read());
        for (int64_t r = 0; r < rows; ++r) {
          double norm = 0;  // of h·r, which bounds both terms of dx
          for (int64_t i = 0; i < width; ++i)
            norm += std::pow(widen(dy[r * width + i]) * (widen(weight[i]) + form.weight_plus_one) * inverse[r], 2);
          for (int64_t i = r * width; i < (r + 1) * width; ++i) {
            const double expected = dx[i] + widen(beside[i]);
            EXPECT_NEAR(dx_out[i], expected,
                        std::abs(expected) * kRoundoff<E> + std::sqrt(norm) * tolerance<float>(width))
                << width << " " << i;
          }
        }
        const auto dweight_out = dweight_d.read();
        for (int64_t i = 0; i < width; ++i) {
          double magnitude = 0.5;
          for (int64_t r = 0; r < rows; ++r)
            magnitude += std::abs(widen(dy[r * width + i]) * widen(x[r * width + i]) * inverse[r]);
          EXPECT_NEAR(dweight_out[i], dweight[i], magnitude * (kRoundoff<E> + tolerance<float>(rows)));
        }
      }
}

}  // namespace
}  // namespace thinktune::kernels
