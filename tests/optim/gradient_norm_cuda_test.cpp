// The gradients' norm and clip on a GPU, where they are kernels, beside the CPU's.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/gpu.h"
#include "thinktune/optim/adamw.h"

namespace thinktune::optim {
namespace {

using Tensors = std::vector<at::Tensor>;

// Tensors of their own, and parts of one at any address.
Tensors gradients(at::Device device) {
  const at::Generator random = at::detail::createCPUGenerator(5);
  const at::Tensor all = at::randn({300000}, random, at::kFloat).to(device);
  Tensors tensors;
  int64_t begin = 0;
  for (const int64_t size : {0, 1, 7, 16384, 16385, 100003}) {
    tensors.push_back(all.narrow(0, begin, size));
    tensors.push_back(at::randn({size}, random, at::kFloat).to(device));
    begin += size;
  }
  return tensors;
}

TEST(GradientNormCuda, IsTheCpusAndClips) {
  TT_REQUIRE_GPU(gpu);
  for (const double max_norm : {1e-2, 1e9}) {
    const Tensors cpu = gradients(at::kCPU), got = gradients(gpu), again = gradients(gpu);
    const double norm = clip_by_global_norm(cpu, max_norm);
    EXPECT_NEAR(clip_by_global_norm(got, max_norm), norm, 1e-12 * norm);
    clip_by_global_norm(again, max_norm);
    for (size_t i = 0; i < cpu.size(); ++i) {
      EXPECT_TRUE(at::allclose(got[i].cpu(), cpu[i], 3e-7, 0)) << i;
      EXPECT_TRUE(at::equal(got[i], again[i])) << i;
    }
  }
}

TEST(GradientNormCuda, WhatIsNotFiniteIsSaidAndLeft) {
  TT_REQUIRE_GPU(gpu);
  const Tensors tensors = gradients(gpu);
  tensors[6].narrow(0, 9, 1).fill_(std::numeric_limits<float>::quiet_NaN());
  const at::Tensor before = tensors[7].clone();
  EXPECT_TRUE(std::isnan(clip_by_global_norm(tensors, 0.1)));
  EXPECT_TRUE(at::equal(tensors[7], before));
}

}  // namespace
}  // namespace thinktune::optim
