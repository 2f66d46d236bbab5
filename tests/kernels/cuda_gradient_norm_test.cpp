#include <algorithm>
#include <memory>

#include "kernel_inputs.h"
#include "kernels/cuda/gradient_norm.h"
#include "support/device_buffer.h"

namespace thinktune::kernels {
namespace {

using test::DeviceBuffer;

template <class E>
class CudaGradientNorm : public test::DeviceTest {};
using DeviceElements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CudaGradientNorm, DeviceElements);

template <class E>
cuda::GradientNorm norm_of(const std::vector<std::vector<E>>& tensors, double max_norm,
                           std::vector<std::vector<E>>* scaled = nullptr) {
  std::vector<std::unique_ptr<DeviceBuffer<E>>> device;
  int64_t num_partials = 0;
  for (const auto& t : tensors) {
    device.push_back(std::make_unique<DeviceBuffer<E>>(t));
    num_partials += cuda::norm_partials(static_cast<int64_t>(t.size()));
  }
  DeviceBuffer<double> partials(num_partials);
  DeviceBuffer<cuda::GradientNorm> out(1);
  int64_t at = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto n = static_cast<int64_t>(tensors[i].size());
    cuda::sum_of_squares<E>(device[i]->data(), n, partials.data() + at, nullptr);
    at += cuda::norm_partials(n);
  }
  cuda::finish_norm(partials.data(), num_partials, max_norm, out.data(), nullptr);
  for (size_t i = 0; i < tensors.size(); ++i) {
    cuda::scale_gradient<E>(device[i]->data(), static_cast<int64_t>(tensors[i].size()), out.data(), nullptr);
    if (scaled) scaled->push_back(device[i]->read());
  }
  return out.read()[0];
}

template <class E>
std::vector<std::vector<E>> tensors_of() {
  std::vector<std::vector<E>> tensors;
  for (int64_t n : {1, 0, 7, 16384, 16385, 100003, 16383})
    tensors.push_back(normals<E>(n, static_cast<uint64_t>(n), 1e-3));
  return tensors;
}

TYPED_TEST(CudaGradientNorm, EqualsTheSumInDoubleAndClips) {
  using E = TypeParam;
  const auto tensors = tensors_of<E>();
  double sum = 0;
  for (const auto& t : tensors)
    for (E x : t) sum += static_cast<double>(widen(x)) * widen(x);
  const double expected = std::sqrt(sum);
  for (double max_norm : {0.0, 0.1, 1e6}) {
    std::vector<std::vector<E>> scaled;
    const cuda::GradientNorm norm = norm_of(tensors, max_norm, &scaled);
    EXPECT_TRUE(norm.finite);
    EXPECT_NEAR(norm.norm, expected, expected * 1e-12);
    const bool clips = max_norm > 0 && expected > max_norm;
    EXPECT_EQ(norm.scale, clips ? static_cast<float>(max_norm / norm.norm) : 1.0f);
    for (size_t i = 0; i < tensors.size(); ++i)
      for (size_t j = 0; j < tensors[i].size(); ++j)
        ASSERT_EQ(widen(scaled[i][j]), widen(narrow<E>(widen(tensors[i][j]) * norm.scale)));
  }
}

TYPED_TEST(CudaGradientNorm, SaysWhatIsNotFiniteAndLeavesIt) {
  using E = TypeParam;
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    auto tensors = tensors_of<E>();
    tensors[4][16384] = narrow<E>(bad);
    std::vector<std::vector<E>> scaled;
    const cuda::GradientNorm norm = norm_of(tensors, 1e-3, &scaled);
    EXPECT_FALSE(norm.finite);
    EXPECT_EQ(norm.scale, 1);
    EXPECT_EQ(widened(scaled[3]), widened(tensors[3]));
  }
  // Squares beyond float's range are none of double's.
  const cuda::GradientNorm large = norm_of<E>({{narrow<E>(1e30f), narrow<E>(1e30f)}}, 1.0);
  EXPECT_TRUE(large.finite);
  EXPECT_NEAR(large.norm, std::sqrt(2.0) * widen(narrow<E>(1e30f)), 1e20);
}

// The order of the sum does not depend on where a tensor lies.
TYPED_TEST(CudaGradientNorm, AnyAlignmentGivesTheSameBits) {
  using E = TypeParam;
  for (const int64_t n : {1, 8, 16384, 40000}) {
    const std::vector<E> values = normals<E>(n, 3, 1.0);
    const int64_t num_partials = cuda::norm_partials(n);
    std::vector<double> sums[2];
    std::vector<E> scaled[2];
    for (const int64_t shift : {0, 1}) {
      std::vector<E> shifted(n + shift);
      std::copy(values.begin(), values.end(), shifted.begin() + shift);
      DeviceBuffer<E> device(shifted);
      DeviceBuffer<double> partials(num_partials), sum(1);
      DeviceBuffer<cuda::GradientNorm> out(1);
      cuda::sum_of_squares<E>(device.data() + shift, n, partials.data(), nullptr);
      cuda::add_partials(partials.data(), num_partials, sum.data(), nullptr);
      cuda::finish_norm(sum.data(), 1, 0.25, out.data(), nullptr);
      cuda::scale_gradient<E>(device.data() + shift, n, out.data(), nullptr);
      sums[shift] = partials.read();
      sums[shift].push_back(sum.read()[0]);
      scaled[shift] = device.read();
    }
    EXPECT_EQ(sums[0], sums[1]) << n;
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(widen(scaled[0][i]), widen(scaled[1][i + 1])) << n << " " << i;
  }
}

TYPED_TEST(CudaGradientNorm, NoTensorsHaveTheNormZero) {
  const cuda::GradientNorm norm = norm_of<TypeParam>({}, 1.0);
  EXPECT_EQ(norm.norm, 0);
  EXPECT_EQ(norm.scale, 1);
  EXPECT_TRUE(norm.finite);
}

}  // namespace
}  // namespace thinktune::kernels
