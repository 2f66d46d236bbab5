// The per-token policy loss and its gradient in one pass: the formulas, conventions and limits of
// include/thinktune/algo/loss.h (PPO clip, dual clip, AAS, k3 KL, entropy bonus).
//
// Letters: M response tokens, flat. All arrays [M], float, but for the flags.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace thinktune::kernels::cuda {

enum class Shaping : uint8_t { Paper, Reference, Constant, POverPPlusC, Off };  // algo::AasMode, in its order

struct PolicyLossOptions {  // algo::LossOptions' fields of the same names
  double clip_low = 0.2;
  double clip_high = 0.2;
  double dual_clip = 3.0;
  bool use_dual_clip = true;
  Shaping aas = Shaping::Paper;
  double gamma_min = 0.001;
  double gamma_max = -0.001;
  double advantage_min = -4.0;
  double advantage_max = 4.0;
  double aas_constant = 0.1;  // > 0 with POverPPlusC
  double fallback_probability = 0.01;
  double kl_coefficient = 0;
  double entropy_coefficient = 0;
};

struct PolicyLossInputs {
  const float* logprobs = nullptr;
  const float* old_logprobs = nullptr;
  const float* advantages = nullptr;
  const bool* guided = nullptr;
  const float* reference_logprobs = nullptr;  // may be null if kl_coefficient is 0
  const float* entropy = nullptr;             // may be null if entropy_coefficient is 0
  const float* weights = nullptr;
};

// Each but loss may be null. Arrays as algo::LossParts'.
struct PolicyLossOutputs {
  double* loss = nullptr;          // one number: Σ weights · (token loss + KL's and entropy's shares)
  float* grad_logprobs = nullptr;  // of loss
  float* grad_entropy = nullptr;
  float* token_loss = nullptr;
  float* ratio = nullptr;
  float* gamma = nullptr;
  float* shaped = nullptr;
  bool* shaped_used = nullptr;
  bool* clipped = nullptr;
  bool* dual_clipped = nullptr;
  float* kl = nullptr;  // written only where there are reference_logprobs
};

// Doubles of scratch: sums of 1024 tokens each, added in their order.
int64_t policy_loss_scratch(int64_t num_tokens);

// No tokens: loss becomes 0.
void policy_loss(const PolicyLossInputs& inputs, const PolicyLossOptions& options, int64_t num_tokens, double* scratch,
                 const PolicyLossOutputs& outputs, Stream stream);

}  // namespace thinktune::kernels::cuda
