// A thread a token. Gradient conventions are LibTorch's: a tie of maximum or minimum gives half to each side, clamp has
// gradient 1 on its closed interval.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/policy_loss.h"
#include "kernels/cuda/sum_in_order.cuh"

namespace thinktune::kernels::cuda {

inline constexpr float kMaxLogRatio = 20, kMaxKl = 10;
inline constexpr double kReferenceGamma = -0.001;
inline constexpr float kShapedBelowZero = 1.0001f, kShapedAboveOne = 0.9999f;

struct PolicyNumbers {  // the options, rounded once
  float low, high, dual_clip, gamma_low, gamma_high, gamma_min, gamma_span, advantage_max, advantage_span, constant;
  float log_constant, fallback, kl, entropy;
  bool use_dual_clip;
  Shaping aas;
};

inline PolicyNumbers policy_numbers(const PolicyLossOptions& o) {
  const auto f = [](double x) { return static_cast<float>(x); };
  const double constant = o.aas == Shaping::Reference ? kReferenceGamma : o.aas_constant;
  return {f(1 - o.clip_low),
          f(1 + o.clip_high),
          f(o.dual_clip),
          f(o.gamma_min < o.gamma_max ? o.gamma_min : o.gamma_max),
          f(o.gamma_min < o.gamma_max ? o.gamma_max : o.gamma_min),
          f(o.gamma_min),
          f(o.gamma_max - o.gamma_min),
          f(o.advantage_max),
          f(o.advantage_max - o.advantage_min),
          f(constant),
          o.aas == Shaping::POverPPlusC ? f(log(o.aas_constant)) : 0,
          f(o.fallback_probability),
          f(o.kl_coefficient),
          f(o.entropy_coefficient),
          o.use_dual_clip,
          o.aas};
}

struct Slope {  // a value and its derivative with respect to logp
  float value, slope;
};

// The larger of two; `sign` −1: the smaller.
__device__ __forceinline__ Slope extreme(Slope a, Slope b, float sign) {
  if (a.value == b.value) return {a.value, 0.5f * (a.slope + b.slope)};
  return sign * a.value > sign * b.value ? a : b;
}
__device__ __forceinline__ Slope clamped(Slope x, float low, float high) {
  if (x.value < low) return {low, 0};
  if (x.value > high) return {high, 0};
  return x;
}

struct PpoToken {
  Slope loss;
  float ratio;
  bool clipped, dual_clipped;
};

__device__ __forceinline__ PpoToken ppo_token(float logp, float old, float advantage, const PolicyNumbers& o) {
  const Slope difference = clamped({logp - old, 1}, -kMaxLogRatio, kMaxLogRatio);
  const float ratio = expf(difference.value);
  const Slope rho = {ratio, ratio * difference.slope};
  const Slope inside = clamped(rho, o.low, o.high);
  const Slope unclipped = {-advantage * rho.value, -advantage * rho.slope};
  const Slope bound = {-advantage * inside.value, -advantage * inside.slope};
  const Slope single = extreme(unclipped, bound, 1);
  const Slope limit = {-advantage * o.dual_clip, 0};
  const bool negative = advantage < 0;
  return {negative && o.use_dual_clip ? extreme(limit, single, -1) : single, ratio, bound.value > unclipped.value,
          negative && single.value > limit.value};
}

__device__ __forceinline__ float gamma_of(float advantage, const PolicyNumbers& o) {
  if (o.aas == Shaping::Off) return 0;
  if (o.aas != Shaping::Paper) return o.constant;
  const float gamma = o.gamma_min + o.gamma_span * ((o.advantage_max - advantage) / o.advantage_span);
  return gamma < o.gamma_low ? o.gamma_low : gamma > o.gamma_high ? o.gamma_high : gamma;
}

// p/d, and its derivative: the denominator is a constant, but for p/(p + c).
__device__ __forceinline__ Slope shaped_ratio(float logp, float p, float gamma, const PolicyNumbers& o) {
  if (o.aas == Shaping::POverPPlusC) {
    const float s = 1.0f / (1.0f + expf(o.log_constant - logp));
    return {s, s * (1 - s)};
  }
  const float d = p + gamma;
  float s = p / d;
  if (d > 1) s = kShapedAboveOne;
  if (d <= 0) s = kShapedBelowZero;
  if (d == 0 && gamma == 0) s = 1;
  return {s, s};
}

__device__ __forceinline__ Slope k3(float logp, float reference) {
  const Slope difference = clamped({reference - logp, -1}, -kMaxLogRatio, kMaxLogRatio);
  const float e = expm1f(difference.value);
  return clamped({e - difference.value, e * difference.slope}, -kMaxKl, kMaxKl);
}

template <class T>
__device__ __forceinline__ void put(T* array, int64_t i, T value) {
  if (array) array[i] = value;
}

__device__ __forceinline__ double token_share(const PolicyLossInputs& in, const PolicyNumbers& o, int64_t i,
                                              const PolicyLossOutputs& out) {
  const float logp = in.logprobs[i], advantage = in.advantages[i], weight = in.weights[i];
  const PpoToken ppo = ppo_token(logp, in.old_logprobs[i], advantage, o);
  const float p = expf(logp > kMaxLogRatio ? kMaxLogRatio : logp), gamma = gamma_of(advantage, o);
  const Slope shaped = shaped_ratio(logp, p, gamma, o);
  const bool falls_back = advantage < 0 && p < o.fallback;
  const bool used = o.aas != Shaping::Off && in.guided[i] && !falls_back;
  const Slope policy = used ? Slope{-advantage * shaped.value, -advantage * shaped.slope} : ppo.loss;
  Slope total = policy;
  if (in.reference_logprobs) {
    const Slope kl = k3(logp, in.reference_logprobs[i]);
    put(out.kl, i, kl.value);
    if (o.kl != 0) total = {total.value + o.kl * kl.value, total.slope + o.kl * kl.slope};
  }
  if (o.entropy != 0) total.value -= o.entropy * in.entropy[i];
  put(out.grad_logprobs, i, weight * total.slope);
  put(out.grad_entropy, i, o.entropy != 0 ? -weight * o.entropy : 0.0f);
  put(out.token_loss, i, policy.value);
  put(out.ratio, i, ppo.ratio);
  put(out.gamma, i, gamma);
  put(out.shaped, i, shaped.value);
  put(out.shaped_used, i, used);
  put(out.clipped, i, ppo.clipped);
  put(out.dual_clipped, i, ppo.dual_clipped);
  return static_cast<double>(weight) * total.value;
}

inline constexpr unsigned kLossThreads = 256;
inline constexpr int64_t kLossTokens = 1024;  // of a block

__global__ void __launch_bounds__(kLossThreads)
    policy_loss_kernel(PolicyLossInputs in, PolicyNumbers options, int64_t num_tokens, double* sums,
                       PolicyLossOutputs out) {
  double sum = 0;
  for (int64_t j = threadIdx.x; j < kLossTokens; j += kLossThreads) {
    const int64_t i = blockIdx.x * kLossTokens + j;
    if (i < num_tokens) sum += token_share(in, options, i, out);
  }
  sum = reduce_block<kLossThreads>(sum, Sum{});
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

int64_t policy_loss_scratch(int64_t num_tokens) { return blocks_for(num_tokens, kLossTokens); }

void policy_loss(const PolicyLossInputs& inputs, const PolicyLossOptions& options, int64_t num_tokens, double* scratch,
                 const PolicyLossOutputs& outputs, Stream stream) {
  if (options.kl_coefficient != 0 && !inputs.reference_logprobs)
    refuse("policy_loss", "a KL coefficient without reference log-probabilities");
  if (options.entropy_coefficient != 0 && !inputs.entropy)
    refuse("policy_loss", "an entropy coefficient without entropy");
  if (options.aas == Shaping::POverPPlusC && !(options.aas_constant > 0))
    refuse("policy_loss", "aas_constant is not positive");
  const int64_t blocks = blocks_for(num_tokens, kLossTokens);
  launch("policy_loss", policy_loss_kernel, {blocks}, kLossThreads, 0, stream, inputs, policy_numbers(options),
         num_tokens, scratch, outputs);
  launch("policy_loss", sum_in_order_kernel, {1}, kOrderThreads, 0, stream, scratch, blocks, outputs.loss);
}

}  // namespace thinktune::kernels::cuda
