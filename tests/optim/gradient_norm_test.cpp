#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "thinktune/optim/adamw.h"

namespace thinktune::optim {
namespace {

using Tensors = std::vector<at::Tensor>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Around a chunk of the sum, around where LibTorch begins to use threads, and far beyond.
Tensors gradients() {
  Tensors tensors;
  double x = 0.3;
  for (int64_t size : {0, 1, 7, 16383, 16384, 16385, 32768, 70001}) {
    std::vector<float> values(size);
    for (float& value : values) {
      x = 3.9 * x * (1 - x);  // logistic map: no two alike
      value = static_cast<float>(x - 0.5);
    }
    tensors.push_back(at::tensor(values, at::kFloat));
  }
  return tensors;
}

double norm_by_hand(const Tensors& tensors) {
  double sum = 0;
  for (const at::Tensor& t : tensors)
    for (int64_t i = 0; i < t.numel(); ++i) sum += std::pow(static_cast<double>(t.data_ptr<float>()[i]), 2);
  return std::sqrt(sum);
}

TEST(GlobalNorm, AgreesWithASumInDoubles) {
  const Tensors tensors = gradients();
  EXPECT_NEAR(global_norm(tensors), norm_by_hand(tensors), 1e-12 * norm_by_hand(tensors));
  EXPECT_EQ(global_norm({}), 0);
  EXPECT_EQ(global_norm({at::tensor({3.0F}), at::tensor({-4.0F})}), 5);
  const at::Tensor matrix = tensors[3].narrow(0, 0, 60).reshape({6, 10});
  EXPECT_EQ(global_norm({matrix.t()}), global_norm({matrix.t().contiguous()}));
}

TEST(GlobalNorm, DoesNotOverflowInFloats) {
  EXPECT_DOUBLE_EQ(global_norm({at::full({4}, 3e38F)}), 2 * static_cast<double>(3e38F));
}

TEST(GlobalNorm, DoesNotDependOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  const Tensors tensors = gradients();
  at::set_num_threads(1);
  const double one = global_norm(tensors);
  for (int threads : {2, 3, 4}) {
    at::set_num_threads(threads);
    EXPECT_EQ(global_norm(tensors), one) << threads;
  }
  at::set_num_threads(before);
}

TEST(GlobalNorm, SaysWhatIsNotFinite) {
  Tensors tensors = gradients();
  tensors[7][70000] = kInfinity;
  EXPECT_EQ(global_norm(tensors), kInfinity);
  tensors[7][70000] = -kInfinity;
  EXPECT_EQ(global_norm(tensors), kInfinity);
  tensors[1][0] = std::nanf("");
  EXPECT_TRUE(std::isnan(global_norm(tensors)));
}

TEST(ClipByGlobalNorm, ScalesDownInPlaceAndReturnsTheNormBefore) {
  Tensors tensors = gradients(), scaled = gradients();
  const double norm = global_norm(tensors);
  EXPECT_EQ(clip_by_global_norm(scaled, 0.5), norm);
  EXPECT_NEAR(global_norm(scaled), 0.5, 1e-7);
  for (size_t i = 0; i < tensors.size(); ++i) EXPECT_TRUE(at::allclose(scaled[i], tensors[i] * (0.5 / norm), 1e-6, 0));
}

TEST(ClipByGlobalNorm, LeavesSmallGradientsAlone) {
  Tensors tensors = gradients(), before = gradients();
  const double norm = global_norm(tensors);
  for (double limit : {norm, norm * 1.01, 1e9}) EXPECT_EQ(clip_by_global_norm(tensors, limit), norm);
  for (size_t i = 0; i < tensors.size(); ++i) EXPECT_TRUE(at::equal(tensors[i], before[i]));
}

TEST(ClipByGlobalNorm, LeavesGradientsThatAreNotFiniteAlone) {
  const at::Tensor infinite = at::tensor({1.0F, kInfinity}), nan = at::tensor({1.0F, std::nanf("")});
  EXPECT_EQ(clip_by_global_norm({infinite}, 1), kInfinity);
  EXPECT_EQ(infinite[0].item<float>(), 1);
  EXPECT_EQ(infinite[1].item<float>(), kInfinity);
  EXPECT_TRUE(std::isnan(clip_by_global_norm({nan}, 1)));
  EXPECT_EQ(nan[0].item<float>(), 1);
}

TEST(ClipByGlobalNorm, BrokenInputsAreNamed) {
  EXPECT_THAT([] { clip_by_global_norm({}, 0); },
              testing::ThrowsMessage<core::Error>(testing::HasSubstr("max_norm is 0")));
  EXPECT_THAT(
      [] {
        global_norm({at::zeros({1}), at::Tensor()});
      },
      testing::ThrowsMessage<core::Error>(testing::HasSubstr("gradient 1 is missing")));
}

}  // namespace
}  // namespace thinktune::optim
