// All settings of a run: the run's own, and those of the rooms.
#pragma once

#include <cstdint>
#include <string>

#include "thinktune/algo/advantages.h"
#include "thinktune/algo/loss.h"
#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/comm/options.h"
#include "thinktune/core/options.h"
#include "thinktune/data/prompts.h"
#include "thinktune/data/source.h"
#include "thinktune/eval/evaluator.h"
#include "thinktune/guidance/options.h"
#include "thinktune/infer/engine.h"
#include "thinktune/optim/adamw.h"
#include "thinktune/report/reporter.h"
#include "thinktune/reward/reward.h"

namespace thinktune::train {

// Which text of the method is computed.
enum class Mode {
  Paper,      // as the paper intends
  Reference,  // as the public code computes, defects included
};
inline const core::Choices<Mode> kModeNames = {{"paper", Mode::Paper}, {"reference", Mode::Reference}};

enum class Precision {
  Bf16,  // f32 master weights, bf16 in every forward and backward pass
  F32,
};
inline const core::Choices<Precision> kPrecisionNames = {{"bf16", Precision::Bf16}, {"f32", Precision::F32}};

struct RolloutOptions {
  int64_t prompts_per_step = 128;
  int64_t group_size = 5;         // rollouts of each prompt
  int64_t max_new_tokens = 1024;  // limit of a response
  infer::SamplingOptions sampling;
};
void describe(core::Fields& fields, RolloutOptions& options);

// Where the log-probabilities of the ratio's denominator come from.
enum class OldLogprobs {
  Policy,  // the policy's own forward pass at the start of the step; with one update a step the update's own pass gives
           // them
  Sampler,  // what the sampler recorded (the teacher's tokens from the policy): one pass less with several updates a
            // step. The run's first step computes both, and ends the run if they differ by more than rounding
};
inline const core::Choices<OldLogprobs> kOldLogprobsNames = {{"policy", OldLogprobs::Policy},
                                                             {"sampler", OldLogprobs::Sampler}};

// How far the sampler's log-probability of a token may be from the policy's own: on average, and at most. Nats.
struct SamplerTolerance {
  double mean = 0, largest = 0;
};
SamplerTolerance sampler_tolerance(Precision precision);

struct UpdateOptions {
  int64_t mini_batch_prompts =
      32;  // prompts of one optimiser update; a step makes prompts_per_step / mini_batch_prompts updates
  int64_t micro_batch_tokens =
      4096;  // tokens of one forward and backward pass; bounds memory, does not change the result
  bool gradient_checkpointing = false;  // keep only each block's input, and compute blocks again in backward
  OldLogprobs old_logprobs = OldLogprobs::Policy;
  double mismatch_warning =
      2.0;  // warn when a sampled token's log-probability differs by more between sampler and trainer
};
void describe(core::Fields& fields, UpdateOptions& options);

struct TrainOptions {
  Mode mode = Mode::Paper;
  std::string model;
  std::string chat_template;
  bool long_context = false;
  std::string output;
  int64_t seed = 1;
  int64_t steps = 100;
  std::string device = "auto";  // auto, cpu, cuda, cuda:N (ops/device.h)
  int64_t threads = 0;
  Precision precision = Precision::Bf16;
  data::DataOptions data;
  data::PromptOptions prompt;
  RolloutOptions rollout;
  infer::EngineOptions engine;
  guidance::GuidanceOptions guidance;
  reward::RewardOptions reward;
  algo::AdvantageOptions advantage;
  algo::LossOptions loss;
  UpdateOptions update;
  optim::OptimOptions optim;
  comm::CommOptions comm;
  eval::EvalOptions eval;
  checkpoint::CheckpointOptions checkpoint;
  report::ReportOptions report;
};
void describe(core::Fields& fields, TrainOptions& options);

// The defaults of a mode: what differs in `reference` from `paper`. To be called before the settings are read.
void apply_mode(TrainOptions& options, Mode mode);

// Throws Error{User} naming the field. Looks at nothing outside the options.
void validate(const TrainOptions& options);

// What the sizes mean: "8 prompts × 8 = 64 rollouts a step → 2 updates of 32 …", one sentence a line.
std::string describe_sizes(const TrainOptions& options);

}  // namespace thinktune::train
