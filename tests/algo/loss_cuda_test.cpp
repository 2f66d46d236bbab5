// The policy loss on a GPU, where it is a kernel, beside the formulas on the CPU in f64.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/gpu.h"
#include "thinktune/algo/loss.h"

namespace thinktune::algo {
namespace {

struct Result {
  LossInputs in;
  LossParts parts;
};

Result run(const LossOptions& options, at::Device device, at::ScalarType dtype) {
  constexpr int64_t kTokens = 4099;
  const at::Generator random = at::detail::createCPUGenerator(11);
  const auto column = [&](double scale) { return at::randn({kTokens}, random, at::kFloat) * scale; };
  const auto there = [&](const at::Tensor& t) { return t.to(device, dtype); };
  const at::Tensor logprobs = -column(1.5).abs();
  Result result;
  LossInputs& in = result.in;
  in.logprobs_M = there(logprobs).requires_grad_(true);
  in.old_logprobs_M = there(logprobs + column(0.3));
  in.advantages_M = there(column(1.5));
  in.guided_M = column(1).gt(0.5).to(device);
  in.weights_M = there(column(1).abs() * 1e-3);
  in.reference_logprobs_M = there(logprobs + column(0.5));
  in.entropy_M = there(column(1).abs()).requires_grad_(true);
  result.parts = policy_loss(in, true, options);
  result.parts.loss.backward();
  return result;
}

constexpr double kRoundoff = 0x1p-24;  // of f32

// In f64: how far f32 may be from each token's gradient, and the tokens that may lie on the other side of a border.
struct Bounds {
  at::Tensor gradient_M, unclear_M;
  double loss = 0;

  Bounds(const Result& exact, const LossOptions& o) {
    const at::NoGradGuard no_grad;
    const at::Tensor logp = exact.in.logprobs_M.detach(), ratio = exact.parts.ratio_M, gamma = exact.parts.gamma_M;
    const at::Tensor p = logp.exp(), size = exact.in.advantages_M.abs(), d = (p + gamma).abs();
    const at::Tensor of_ratio = ((logp - exact.in.old_logprobs_M).abs() + 4) * ratio * kRoundoff;
    // p is within two roundings, γ within eight of its range; where γ is about −p that is much of p + γ.
    const at::Tensor of_d = (3 * p + 8 * (0.002 + gamma.abs())) * kRoundoff;
    const at::Tensor of_shaped = o.aas == AasMode::POverPPlusC
                                     ? (logp.abs() + 2 * std::abs(std::log(o.aas_constant)) + 6) * kRoundoff
                                     : of_d / d + 6 * kRoundoff;
    const at::Tensor difference = exact.in.reference_logprobs_M - logp;
    const at::Tensor of_kl = o.kl_coefficient * (1 + difference.abs()) * difference.exp();
    const at::Tensor scale = 1 + size * (1 + ratio) + of_kl;
    gradient_M = exact.in.weights_M * (16 * kRoundoff * scale + 2 * size * exact.parts.shaped_M.abs() * of_shaped);
    loss = ((scale + logp.abs()) * exact.in.weights_M).sum().item<double>() * 40 * kRoundoff;
    unclear_M = (p - o.fallback_probability).abs() < 4 * kRoundoff * p;
    for (const double border : {1 - o.clip_low, 1 + o.clip_high, o.dual_clip})
      unclear_M = unclear_M | ((ratio - border).abs() < of_ratio);
    for (const double border : {0.0, 1.0}) unclear_M = unclear_M | ((p + gamma - border).abs() < of_d);
  }
};

TEST(LossCuda, IsTheCpusInEveryMode) {
  TT_REQUIRE_GPU(gpu);
  for (const AasMode aas :
       {AasMode::Paper, AasMode::Reference, AasMode::Constant, AasMode::POverPPlusC, AasMode::Off}) {
    SCOPED_TRACE(static_cast<int>(aas));
    const LossOptions options{.aas = aas, .kl_coefficient = 0.05, .entropy_coefficient = 0.01};
    const Result got = run(options, gpu, at::kFloat), again = run(options, gpu, at::kFloat),
                 exact = run(options, at::kCPU, at::kDouble);
    const Bounds bounds(exact, options);
    EXPECT_NEAR(got.parts.loss.item<double>(), exact.parts.loss.item<double>(),
                std::min(bounds.loss, 1e-4 * std::abs(exact.parts.loss.item<double>()) + 1e-5));
    EXPECT_EQ(got.parts.loss.item<double>(), again.parts.loss.item<double>());
    EXPECT_TRUE(at::equal(got.in.logprobs_M.grad(), again.in.logprobs_M.grad()));
    EXPECT_TRUE(at::equal(got.in.entropy_M.grad(), again.in.entropy_M.grad()));
    const auto beyond = [](const Result& a, const Result& b, auto field, const at::Tensor& bound_M) {
      return (field(a).cpu().to(at::kDouble) - field(b)).abs().gt(bound_M);
    };
    const auto gradient = [](const Result& r) { return r.in.logprobs_M.grad(); };
    const auto of_entropy = [](const Result& r) { return r.in.entropy_M.grad(); };
    const at::Tensor clear_M = bounds.unclear_M.logical_not();
    EXPECT_EQ((beyond(got, exact, gradient, bounds.gradient_M) & clear_M).sum().item<int64_t>(), 0);
    EXPECT_FALSE(beyond(got, exact, of_entropy, exact.in.weights_M * options.entropy_coefficient * 3 * kRoundoff)
                     .any()
                     .item<bool>());
    EXPECT_EQ((got.parts.shaped_used_M.cpu().ne(exact.parts.shaped_used_M) & clear_M).sum().item<int64_t>(), 0);
    EXPECT_LT(bounds.unclear_M.sum().item<int64_t>(), 10);
    // Of those too few lie on the other side.
    EXPECT_LE(beyond(got, exact, gradient, at::full_like(bounds.gradient_M, 1e-6)).sum().item<int64_t>(), 5);
    EXPECT_FALSE(beyond(got, exact, of_entropy, at::full_like(bounds.gradient_M, 1e-8)).any().item<bool>());
    EXPECT_LE(got.parts.shaped_used_M.cpu().ne(exact.parts.shaped_used_M).sum().item<int64_t>(), 2);
  }
}

}  // namespace
}  // namespace thinktune::algo
