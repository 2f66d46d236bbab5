// Everything that a run holds while it trains.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "thinktune/comm/communicator.h"
#include "thinktune/data/prompts.h"
#include "thinktune/guidance/guidance.h"
#include "thinktune/guidance/teacher.h"
#include "thinktune/infer/engine.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/optim/adamw.h"
#include "thinktune/report/reporter.h"
#include "thinktune/reward/reward.h"
#include "thinktune/train/data_parallel.h"
#include "thinktune/train/options.h"
#include "thinktune/train/policy.h"
#include "thinktune/train/sharded_weights.h"
#include "thinktune/train/stop_points.h"
#include "thinktune/train/update_statistics.h"

namespace thinktune::train {

// The problems of the run as prompts, in the order of the run. Problems whose prompt is too long are left out, and
// counted.
class PromptStream {
 public:
  PromptStream(const std::vector<data::Problem>& problems, const data::PromptBuilder& builder, uint64_t seed);

  std::vector<rollout::Prompt> next(int64_t count);  // numbered by their place in the run
  uint64_t position() const { return order_.position(); }
  void restore(uint64_t position);

  int64_t size() const { return std::ssize(prompts_); }
  int64_t num_too_long() const { return num_too_long_; }
  std::string checksum() const;  // of all prompts in their order, their answers included (XXH3)

 private:
  static std::vector<rollout::Prompt> build(const std::vector<data::Problem>& problems,
                                            const data::PromptBuilder& builder, int64_t& too_long);

  int64_t num_too_long_ = 0;
  std::vector<rollout::Prompt> prompts_;
  uint64_t seed_;
  data::DataOrder order_;
};

// The parts of a run, in the order in which they are made. Later ones refer to earlier ones.
struct Run {
  TrainOptions options;
  std::unique_ptr<comm::Communicator> comm;  // null before the set-up: one rank
  std::unique_ptr<StopPoints> stops;
  at::Device device = at::kCPU;  // of weights, optimiser and every pass
  model::ModelConfig config;
  model::Vocabulary vocabulary;
  std::unique_ptr<model::Decoder> decoder;
  std::unique_ptr<ShardedWeights> sharded, initial_sharded;  // comm.shard = parameters: of policy and initial weights
  std::unique_ptr<Policy> policy;
  std::unique_ptr<infer::Engine> engine;
  std::unique_ptr<model::Weights>
      initial_weights;  // frozen: the teacher and the KL reference share them; null if neither is in use
  // Of what the settings name without saying what is in it, for checkpoints; empty where it is not in use.
  std::string initial_model_checksum, teacher_prompt_checksum;
  std::unique_ptr<infer::Engine> teacher_engine;  // null unless the initial model teaches
  std::unique_ptr<guidance::Teacher> teacher;
  std::unique_ptr<guidance::Guide> guide;  // null: plain GRPO
  std::unique_ptr<reward::Reward> reward;
  std::unique_ptr<data::PromptBuilder> prompt_builder;
  std::unique_ptr<PromptStream> prompts;
  std::vector<rollout::Prompt> heldout;
  std::unique_ptr<DataParallel> parallel;
  std::unique_ptr<optim::AdamW> optimiser;
  bool sampler_is_proved = false;  // its log-probabilities were compared with the policy's, and are the same
};

// What one step did.
struct StepRecord {
  std::vector<rollout::Group> groups;  // of all ranks, in the order of the prompts
  guidance::GuidanceReport guidance;
  UpdateStatistics updates;
  report::StepSeconds seconds;
};

// One training step; `step` counts from 0; every rank takes it. The record is the same on all ranks but for the times,
// which are each rank's own, waiting included. Throws Error{Device} before the update if a weight, a loss or a gradient
// is not finite, and core::Stopped, before the first update, if the run was asked to stop.
StepRecord train_step(Run& run, int64_t step);

}  // namespace thinktune::train
