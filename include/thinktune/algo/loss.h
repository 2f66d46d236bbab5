// The policy loss: PPO clip with dual clip on the student's own rollouts, advantage-aware shaping (AAS) on guided ones,
// and the aggregation of token losses over a whole mini-batch. (ThinkTuning, arXiv 2508.07616.)
//
//   ρ = exp(logp − old),  p = exp(logp),  sg = stop-gradient
//   PPO:  max(−Aρ, −A·clip(ρ, 1−ε_low, 1+ε_high));  for A < 0 at most −A·c
//   AAS:  γ(A) = γ_min + (γ_max − γ_min)·(A_max − A)/(A_max − A_min), clamped to [min, max] of the two γ
//         d = sg(p) + γ(A);  d < 0 → sg(p)/1.0001;  d > 1 → sg(p)/0.9999;   loss = −A·p/d
//         guided tokens with A < 0 and p < .01 use PPO
//
// Letters: M response tokens of a micro-batch, flat.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/rollout/types.h"

namespace thinktune::algo {

enum class AasMode {
  Paper,        // γ(A) as above
  Reference,    // the public code: its clamp makes γ the constant −.001
  Constant,     // γ = aas_constant
  POverPPlusC,  // d = p + c with c = aas_constant, without the switches at 0 and 1 and without sg: the gradient goes
                // through both p (LUFFY's policy shaping)
  Off,          // guided tokens are treated like any others
};
inline const core::Choices<AasMode> kAasNames = {{"paper", AasMode::Paper},
                                                 {"reference", AasMode::Reference},
                                                 {"constant", AasMode::Constant},
                                                 {"p_over_p_plus_c", AasMode::POverPPlusC},
                                                 {"off", AasMode::Off}};

enum class Aggregation { TokenMean, SeqMeanTokenSum, SeqMeanTokenMean, SeqMeanTokenSumNorm };
inline const core::Choices<Aggregation> kAggregationNames = {
    {"token-mean", Aggregation::TokenMean},
    {"seq-mean-token-sum", Aggregation::SeqMeanTokenSum},
    {"seq-mean-token-mean", Aggregation::SeqMeanTokenMean},
    {"seq-mean-token-sum-norm", Aggregation::SeqMeanTokenSumNorm}};

struct LossOptions {
  double clip_low = 0.2;
  double clip_high = 0.2;
  double dual_clip = 3.0;
  AasMode aas = AasMode::Paper;
  double gamma_min = 0.001;
  double gamma_max = -0.001;
  double advantage_min = -4.0;
  double advantage_max = 4.0;
  double aas_constant = 0.1;           // γ of `constant`, c of `p_over_p_plus_c`
  double fallback_probability = 0.01;  // guided tokens with A < 0 and p below it use the PPO branch
  Aggregation aggregation = Aggregation::TokenMean;
  double sum_norm_length = 0;  // divisor T of seq-mean-token-sum-norm; 0: the longest response of the mini-batch
  bool single_clip_without_teacher = false;  // the public code's defect: no guided rollout → no dual clip
  double kl_coefficient = 0;       // k3 against the frozen initial model; 0: off, the reference is not evaluated
  double entropy_coefficient = 0;  // the entropy's share is subtracted from the loss
};
void describe(core::Fields& fields, LossOptions& options);
void validate(const LossOptions& options);

// Flat response tokens of some sequences.
struct LossInputs {
  at::Tensor logprobs_M;            // with gradient; f32 or f64
  at::Tensor old_logprobs_M;        // no gradient
  at::Tensor advantages_M;          // the sequence's advantage at each of its tokens
  at::Tensor guided_M;              // bool
  at::Tensor reference_logprobs_M;  // undefined without KL
  at::Tensor entropy_M;             // with gradient if the entropy coefficient is not 0; may be undefined if it is
  at::Tensor weights_M;             // from aggregation_weights; 0 where the token does not count
};

struct LossParts {
  at::Tensor loss;  // scalar with gradient: Σ weights · (token loss + kl_coefficient·k3 − entropy_coefficient·entropy)
  at::Tensor token_loss_M;    // policy part alone, detached
  at::Tensor ratio_M;         // ρ, detached
  at::Tensor gamma_M;         // γ(A) of every token, detached
  at::Tensor shaped_M;        // p/d of every token, detached
  at::Tensor shaped_used_M;   // bool: the AAS branch was taken
  at::Tensor clipped_M;       // bool: the upper PPO bound was active (second term larger than the first)
  at::Tensor dual_clipped_M;  // bool: the dual clip was active, or would have been (single_clip_without_teacher)
  at::Tensor kl_M;            // k3, detached; undefined without KL
};

// `teacher_in_batch`: some rollout of the whole mini-batch is guided (only single_clip_without_teacher looks at it).
// Finite for every finite log-probability and |advantage| ≤ 1e20: logp − old is cut at ±20 as in verl, and where p
// underflows to 0 the shaped ratio is its limit (1.0001 where d < 0 or γ = −p exactly, 1 where γ = 0, else 0). All
// tensors on one device; old, reference, advantages and weights are brought to the dtype of logprobs_M.
LossParts policy_loss(const LossInputs& inputs, bool teacher_in_batch, const LossOptions& options);

// k3 = exp(ref − logp) − (ref − logp) − 1, elementwise, with gradient; clamped to ±10 as in the reference.
at::Tensor kl_k3(const at::Tensor& logprobs, const at::Tensor& reference_logprobs);

// What the weights of a mini-batch are divided by. With several ranks: each counts its own share of the mini-batch,
// then num_tokens and num_sequences are summed over the ranks and longest is their maximum.
struct TokenCounts {
  int64_t num_tokens = 0;     // tokens that count in the loss
  int64_t num_sequences = 0;  // sequences with at least one of them
  int64_t longest = 0;        // response tokens of the longest sequence
};
TokenCounts count_tokens(const rollout::TrainBatch& batch);

// The weight of every counting token of a sequence that has so many of them; 0 for a sequence that has none.
double token_weight(int64_t num_sequence_tokens, const TokenCounts& counts, const LossOptions& options);

// The factor of each response token in the mini-batch's loss, so that micro-batches only sum: one vector a sequence, in
// the order of the batch's groups and sequences. Counts are taken over the whole mini-batch. Sequences without a
// counting token get no weight and are left out of sequence means. `counts` are those of all ranks; without them the
// batch is the whole mini-batch.
std::vector<std::vector<float>> aggregation_weights(const rollout::TrainBatch& batch, const TokenCounts& counts,
                                                    const LossOptions& options);
std::vector<std::vector<float>> aggregation_weights(const rollout::TrainBatch& batch, const LossOptions& options);

}  // namespace thinktune::algo
