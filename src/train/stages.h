// The small stages between the rooms of a step.
#pragma once

#include <vector>

#include "thinktune/algo/loss.h"
#include "thinktune/infer/sample_token.h"
#include "thinktune/infer/within_memory.h"
#include "thinktune/ops/device.h"
#include "thinktune/ops/token_logprob.h"
#include "thinktune/train/batch.h"
#include "thinktune/train/run.h"

namespace thinktune::train {

core::RandomKey sampling_key(const TrainOptions& options, int64_t step);

// What is sampled of each prompt.
struct Samples {
  int64_t group_size = 1;  // responses a prompt
  int64_t max_new_tokens = 1;
  infer::SamplingOptions sampling;
  core::RandomKey key;  // seed, stream and step
};

// What samples, where memory may not suffice for as many sequences at a time as engine.max_sequences.
struct Sampler {
  infer::Engine& engine;
  ShardedWeights* weights = nullptr;  // that it computes with, within their passes(); null: they are not sharded
  // For messages:
  const char* what;   // is sampled
  int64_t longest;    // tokens of a sequence, at most
  const char* lower;  // settings that help where not even one fits
};

// After a call that memory did not suffice for, before the next with fewer sequences at a time.
void go_on_with_fewer(const Run& run, const Sampler& sampler, int64_t before, int64_t now);

// Error{Device}: memory does not suffice for one sequence.
core::Error not_even_one(const Run& run, const Sampler& sampler);

// The sampler's error with rank, step and the weight that is not finite.
core::Error name_weight(const Run& run, const infer::LogitsNotFinite& error);

// f(), which samples, again and with fewer sequences at a time until memory suffices: the same results. It stays so for
// the rest of the run.
template <class F>
auto within_memory(const Run& run, const Sampler& sampler, const F& f) {
  const auto on_fewer = [&](int64_t before, int64_t now) { go_on_with_fewer(run, sampler, before, now); };
  try {
    return infer::within_memory(sampler.engine, on_fewer, f);
  } catch (const infer::LogitsNotFinite& error) {
    throw name_weight(run, error);
  } catch (const std::exception& error) {
    if (!ops::is_out_of_memory(error)) throw;
  }
  throw not_even_one(run, sampler);
}

// Rollouts of this rank's part of the prompts, judged on what they say by themselves.
std::vector<rollout::Group> sample_own_part(Run& run, const std::vector<rollout::Prompt>& prompts,
                                            const Samples& samples);

// The same, of a training step.
std::vector<rollout::Group> sample_rollouts(Run& run, const std::vector<rollout::Prompt>& prompts, int64_t step);

// Within each group, over the rollouts that were scored. One that was not has no advantage and is in no batch: it is no
// failure of the student's.
void assign_advantages(std::vector<rollout::Group>& groups, const algo::AdvantageOptions& options);

// The transform of the sampler, so that sampler and trainer speak of the same distribution.
ops::TokenLogprobOptions logprob_options(const TrainOptions& options);

// Fills old_logprobs of every sequence from the policy as it is now, or from the sampler. With one update a step they
// are left empty: that update's own forward pass is the policy at the start of the step. From the sampler: the first
// call with any token compares it with the policy, and throws Error{User} if they differ by more than
// sampler_tolerance(), on all ranks. Every rank calls it.
void add_old_logprobs(Run& run, std::vector<MiniBatch>& mini_batches);

// Fills reference_logprobs from the initial weights, if the loss has a KL term.
void add_reference_logprobs(const Run& run, std::vector<MiniBatch>& mini_batches);

algo::LossInputs loss_inputs(const MicroBatch& micro, const ops::TokenLogprobs& logprobs, const TrainOptions& options);

double learning_rate(const TrainOptions& options, int64_t step, int64_t update, int64_t updates_per_step);

// Throw Error{Device} naming rank, step and tensor.
void check_finite_weights(const Run& run, int64_t step);
void check_finite_loss(const Run& run, const algo::LossParts& parts, int64_t step);
void check_finite_gradients(const Run& run, double grad_norm, int64_t step);

}  // namespace thinktune::train
