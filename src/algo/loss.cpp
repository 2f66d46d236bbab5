// The policy loss of a micro-batch.
//
//   ρ = exp(clamp(logp − old, ±20)),  p = exp(logp),  sg = stop-gradient
//   PPO:   c = max(−Aρ, −A·clip(ρ, 1−ε_low, 1+ε_high));  for A < 0 min(c, −A·dual_clip)
//   AAS:   γ(A) = γ_min + (γ_max − γ_min)·(A_max − A)/(A_max − A_min), clamped to [min, max] of the two γ
//          d = sg(p) + γ(A);  d < 0 → sg(p)/1.0001;  d > 1 → sg(p)/0.9999;   −A·p/d
//   c:     −A·p/(p + c), the gradient through both p: ∂/∂logp = −A·s(1 − s) with s = p/(p + c)
//   a guided token takes AAS unless A < 0 and p < fallback_probability
//   loss = Σ_M w·(token loss + kl_coefficient·k3 − entropy_coefficient·entropy)
//
// Gradient conventions are LibTorch's: a tie of maximum or minimum gives half to each side (on-policy both sides of c
// are −Aρ, so the whole comes back), clamp has gradient 1 on its closed interval.
//
// Letters: M response tokens of a micro-batch, flat.
#include "thinktune/algo/loss.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "thinktune/ops/policy_loss.h"

namespace thinktune::algo {
namespace {

// The log-ratio is cut where exp would leave the range in which losses mean anything (verl does the same). ratio and k3
// stay finite in f32, and the clip has already taken the gradient of every ratio beyond it, save at A < 0 with a
// dual_clip above e^20.
constexpr double kMaxLogRatio = 20;
constexpr double kMaxKl = 10;
constexpr double kReferenceGamma =
    -0.001;  // what the public code's clamp with swapped bounds gives for every advantage
constexpr double kShapedBelowZero = 1.0001;  // p / (p / 1.0001)
constexpr double kShapedAboveOne = 0.9999;   // p / (p / 0.9999)

void check_inputs(const LossInputs& in, const LossOptions& options) {
  const at::Tensor& x = in.logprobs_M;
  TT_CHECK(x.defined() && x.dim() == 1, "logprobs_M must be a vector");
  TT_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble, "logprobs_M is {}, not f32 or f64",
           c10::toString(x.scalar_type()));
  const auto check = [&](const at::Tensor& t, const char* name) {
    TT_CHECK(t.defined() && t.sizes() == x.sizes(), "{} is missing, or not a vector of {}", name, x.size(0));
    TT_CHECK(t.device() == x.device(), "{} is on {}, logprobs_M on {}", name, t.device().str(), x.device().str());
  };
  check(in.old_logprobs_M, "old_logprobs_M");
  check(in.advantages_M, "advantages_M");
  check(in.guided_M, "guided_M");
  check(in.weights_M, "weights_M");
  TT_CHECK(in.guided_M.scalar_type() == at::kBool, "guided_M is {}, not bool",
           c10::toString(in.guided_M.scalar_type()));
  if (in.reference_logprobs_M.defined() || options.kl_coefficient != 0)
    check(in.reference_logprobs_M, "reference_logprobs_M");
  if (options.entropy_coefficient != 0) check(in.entropy_M, "entropy_M");
}

struct PpoTokens {
  at::Tensor loss_M;  // with gradient
  at::Tensor ratio_M, clipped_M, dual_clipped_M;
};

PpoTokens ppo_tokens(const at::Tensor& logprobs_M, const at::Tensor& old_M, const at::Tensor& advantages_M,
                     bool dual_clip, const LossOptions& options) {
  const at::Tensor ratio_M = (logprobs_M - old_M).clamp(-kMaxLogRatio, kMaxLogRatio).exp();
  const at::Tensor minus_A_M = -advantages_M;
  const at::Tensor unclipped_M = minus_A_M * ratio_M;
  const at::Tensor clipped_M = minus_A_M * ratio_M.clamp(1 - options.clip_low, 1 + options.clip_high);
  const at::Tensor single_M = at::maximum(unclipped_M, clipped_M);
  const at::Tensor limit_M = minus_A_M * options.dual_clip;
  const at::Tensor negative_M = advantages_M.lt(0);

  PpoTokens tokens;
  tokens.loss_M = dual_clip ? at::where(negative_M, at::minimum(limit_M, single_M), single_M) : single_M;
  tokens.ratio_M = ratio_M.detach();
  tokens.clipped_M = clipped_M.detach().gt(unclipped_M.detach());
  tokens.dual_clipped_M = single_M.detach().gt(limit_M).logical_and(negative_M);
  return tokens;
}

at::Tensor gamma_of(const at::Tensor& advantages_M, const LossOptions& o) {
  switch (o.aas) {
    case AasMode::Paper: {
      const at::Tensor share_M = (o.advantage_max - advantages_M) / (o.advantage_max - o.advantage_min);
      return (o.gamma_min + (o.gamma_max - o.gamma_min) * share_M)
          .clamp(std::min(o.gamma_min, o.gamma_max), std::max(o.gamma_min, o.gamma_max));
    }
    case AasMode::Reference:
      return at::full_like(advantages_M, kReferenceGamma);
    case AasMode::Constant:
    case AasMode::POverPPlusC:
      return at::full_like(advantages_M, o.aas_constant);
    case AasMode::Off:
      return at::zeros_like(advantages_M);
  }
  throw core::internal_error("an aas mode without a formula");
}

// The kernel's names for the same.
kernels::cuda::Shaping shaping_of(AasMode mode) {
  switch (mode) {
    case AasMode::Paper:
      return kernels::cuda::Shaping::Paper;
    case AasMode::Reference:
      return kernels::cuda::Shaping::Reference;
    case AasMode::Constant:
      return kernels::cuda::Shaping::Constant;
    case AasMode::POverPPlusC:
      return kernels::cuda::Shaping::POverPPlusC;
    case AasMode::Off:
      return kernels::cuda::Shaping::Off;
  }
  throw core::internal_error("an aas mode without a kernel");
}

// The formulas below and their gradient as one kernel.
LossParts loss_by_kernel(const LossInputs& in, bool dual_clip, const LossOptions& o) {
  const auto constant = [](const at::Tensor& t) { return t.defined() ? t.detach().to(at::kFloat) : t; };
  const ops::PolicyLossResult result =
      ops::policy_loss({.logprobs_M = in.logprobs_M,
                        .old_logprobs_M = constant(in.old_logprobs_M),
                        .advantages_M = constant(in.advantages_M),
                        .guided_M = in.guided_M,
                        .reference_logprobs_M = constant(in.reference_logprobs_M),
                        .entropy_M = o.entropy_coefficient != 0 ? in.entropy_M : at::Tensor(),
                        .weights_M = constant(in.weights_M)},
                       {.clip_low = o.clip_low,
                        .clip_high = o.clip_high,
                        .dual_clip = o.dual_clip,
                        .use_dual_clip = dual_clip,
                        .aas = shaping_of(o.aas),
                        .gamma_min = o.gamma_min,
                        .gamma_max = o.gamma_max,
                        .advantage_min = o.advantage_min,
                        .advantage_max = o.advantage_max,
                        .aas_constant = o.aas_constant,
                        .fallback_probability = o.fallback_probability,
                        .kl_coefficient = o.kl_coefficient,
                        .entropy_coefficient = o.entropy_coefficient});
  return {.loss = result.loss,
          .token_loss_M = result.token_loss_M,
          .ratio_M = result.ratio_M,
          .gamma_M = result.gamma_M,
          .shaped_M = result.shaped_M,
          .shaped_used_M = result.shaped_used_M,
          .clipped_M = result.clipped_M,
          .dual_clipped_M = result.dual_clipped_M,
          .kl_M = result.kl_M};
}

// p/d with its gradient. The denominator is a constant, so d(p/d)/dlogp = p/d: a number s and a factor exp(logp −
// sg(logp)) that is 1 with gradient 1 say the same, and leave no 0/0 where p underflows. There, and at the pole d = 0,
// s is
//   1.0001 for γ < 0 (the limit where d < 0),   0 for γ > 0,   1 for γ = 0 (p/p).
at::Tensor shaped_ratio(const at::Tensor& logprobs_M, const at::Tensor& p_M, const at::Tensor& gamma_M,
                        const LossOptions& options) {
  // A sigmoid is p/(p + c) without overflow or underflow, and without LibTorch's 0/0 in the derivative of a quotient.
  if (options.aas == AasMode::POverPPlusC) {
    TT_CHECK(options.aas_constant > 0, "aas_constant is {}", options.aas_constant);
    return at::sigmoid(logprobs_M - std::log(options.aas_constant));
  }
  const at::Tensor d_M = p_M + gamma_M;
  at::Tensor s_M = p_M / d_M;
  s_M = at::where(d_M.gt(1), kShapedAboveOne, s_M);
  s_M = at::where(d_M.le(0), kShapedBelowZero, s_M);
  s_M = at::where(d_M.eq(0).logical_and(gamma_M.eq(0)), 1.0, s_M);
  return s_M * (logprobs_M - logprobs_M.detach()).exp();
}

}  // namespace

// The inner clamp changes no value and no gradient: beyond it k3 is above 10, where the outer clamp has the say.
// Without it exp overflows and its gradient is 0·inf.
at::Tensor kl_k3(const at::Tensor& logprobs, const at::Tensor& reference_logprobs) {
  const at::Tensor difference = (reference_logprobs - logprobs).clamp(-kMaxLogRatio, kMaxLogRatio);
  return (at::expm1(difference) - difference).clamp(-kMaxKl, kMaxKl);
}

LossParts policy_loss(const LossInputs& inputs, bool teacher_in_batch, const LossOptions& options) {
  check_inputs(inputs, options);
  const bool dual_clip = teacher_in_batch || !options.single_clip_without_teacher;
  if (ops::has_policy_loss(inputs.logprobs_M)) return loss_by_kernel(inputs, dual_clip, options);
  const at::Tensor& logprobs_M = inputs.logprobs_M;
  const at::ScalarType dtype = logprobs_M.scalar_type();
  const at::Tensor old_M = inputs.old_logprobs_M.detach().to(dtype);
  const at::Tensor advantages_M = inputs.advantages_M.detach().to(dtype);

  const PpoTokens ppo = ppo_tokens(logprobs_M, old_M, advantages_M, dual_clip, options);

  const at::Tensor p_M = logprobs_M.detach().clamp_max(kMaxLogRatio).exp();
  const at::Tensor gamma_M = gamma_of(advantages_M, options);
  const at::Tensor shaped_M = shaped_ratio(logprobs_M, p_M, gamma_M, options);
  const at::Tensor fallback_M = advantages_M.lt(0).logical_and(p_M.lt(options.fallback_probability));
  const at::Tensor used_M = options.aas == AasMode::Off ? at::zeros_like(inputs.guided_M)
                                                        : inputs.guided_M.logical_and(fallback_M.logical_not());

  const at::Tensor policy_M = at::where(used_M, -advantages_M * shaped_M, ppo.loss_M);
  at::Tensor total_M = policy_M;
  LossParts parts;
  if (inputs.reference_logprobs_M.defined()) {
    const at::Tensor kl_M = kl_k3(logprobs_M, inputs.reference_logprobs_M.detach().to(dtype));
    if (options.kl_coefficient != 0) total_M = total_M + options.kl_coefficient * kl_M;
    parts.kl_M = kl_M.detach();
  }
  if (options.entropy_coefficient != 0) total_M = total_M - options.entropy_coefficient * inputs.entropy_M;

  parts.loss = (inputs.weights_M.detach().to(dtype) * total_M).sum();
  parts.token_loss_M = policy_M.detach();
  parts.ratio_M = ppo.ratio_M;
  parts.gamma_M = gamma_M;
  parts.shaped_M = shaped_M.detach();
  parts.shaped_used_M = used_M;
  parts.clipped_M = ppo.clipped_M;
  parts.dual_clipped_M = ppo.dual_clipped_M;
  return parts;
}

}  // namespace thinktune::algo
