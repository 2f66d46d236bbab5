// The policy loss on a GPU, where it is a kernel, beside the formulas on the CPU in f64.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "support/gpu.h"
#include "thinktune/algo/loss.h"

namespace thinktune::algo {
namespace {

struct Result {
  double loss = 0;
  at::Tensor grad_logprobs, grad_entropy, shaped_used;
};

Result run(const LossOptions& options, at::Device device, at::ScalarType dtype) {
  constexpr int64_t kTokens = 4099;
  const at::Generator random = at::detail::createCPUGenerator(11);
  const auto column = [&](double scale) { return at::randn({kTokens}, random, at::kFloat) * scale; };
  const auto there = [&](const at::Tensor& t) { return t.to(device, dtype); };
  const at::Tensor logprobs = -column(1.5).abs();
  LossInputs in;
  in.logprobs_M = there(logprobs).requires_grad_(true);
  in.old_logprobs_M = there(logprobs + column(0.3));
  in.advantages_M = there(column(1.5));
  in.guided_M = column(1).gt(0.5).to(device);
  in.weights_M = there(column(1).abs() * 1e-3);
  in.reference_logprobs_M = there(logprobs + column(0.5));
  in.entropy_M = there(column(1).abs()).requires_grad_(true);
  const LossParts parts = policy_loss(in, true, options);
  parts.loss.backward();
  return {parts.loss.item<double>(), in.logprobs_M.grad().cpu(), in.entropy_M.grad().cpu(), parts.shaped_used_M.cpu()};
}

TEST(LossCuda, IsTheCpusInEveryMode) {
  TT_REQUIRE_GPU(gpu);
  for (const AasMode aas :
       {AasMode::Paper, AasMode::Reference, AasMode::Constant, AasMode::POverPPlusC, AasMode::Off}) {
    SCOPED_TRACE(static_cast<int>(aas));
    const LossOptions options{.aas = aas, .kl_coefficient = 0.05, .entropy_coefficient = 0.01};
    const Result got = run(options, gpu, at::kFloat), again = run(options, gpu, at::kFloat),
                 expected = run(options, at::kCPU, at::kDouble);
    EXPECT_NEAR(got.loss, expected.loss, 1e-4 * std::abs(expected.loss) + 1e-5);
    EXPECT_EQ(got.loss, again.loss);
    EXPECT_TRUE(at::equal(got.grad_logprobs, again.grad_logprobs));
    EXPECT_TRUE(at::equal(got.grad_entropy, again.grad_entropy));
    // A token may lie on the other side of a border in f32; few do.
    const at::Tensor far = (got.grad_logprobs.to(at::kDouble) - expected.grad_logprobs).abs().gt(1e-6);
    EXPECT_LE(far.sum().item<int64_t>(), 5);
    EXPECT_LE((got.grad_entropy.to(at::kDouble) - expected.grad_entropy).abs().max().item<double>(), 1e-8);
    EXPECT_LE(got.shaped_used.ne(expected.shaped_used).sum().item<int64_t>(), 2);
  }
}

}  // namespace
}  // namespace thinktune::algo
