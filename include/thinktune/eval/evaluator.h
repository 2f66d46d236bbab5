// Accuracy on problems, with its uncertainty: what the trainer measures itself by. Benchmarks with a protocol are
// eval/benchmark.h's.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/eval/metrics.h"
#include "thinktune/infer/engine.h"
#include "thinktune/reward/reward.h"
#include "thinktune/rollout/types.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::eval {

struct EvalOptions {
  int64_t every = 0;           // steps between evaluations; the start and the end are evaluated whatever it is
  bool at_start = true;        // evaluate the initial model
  int64_t max_new_tokens = 0;  // 0: as in training
  int64_t num_problems = 0;    // the first so many of the held-out problems; 0: all
  int64_t samples = 1;         // responses a problem
  infer::SamplingOptions sampling{.temperature = 0};
};
void describe(core::Fields& fields, EvalOptions& options);
// Throws Error{User} for a value out of its range, and for several samples of greedy decoding.
void validate(const EvalOptions& options);

struct EvalResult {
  std::vector<rollout::Group> groups;  // as many rollouts each, judged
  int64_t num_right = 0;               // samples with success
  double accuracy = 0;                 // pass@1: mean over a problem's samples, then over problems
  Interval interval;                   // 95 %
  double mean_length = 0;              // tokens, the end-of-turn token included
  double ended_share = 0;              // ended by themselves
  double unparsed_share = 0;           // no answer could be read
  double seconds = 0;
  BenchmarkMetrics metrics;  // all of it: pass@k, maj@k, strict and lenient, standard error
};

struct Drawing {
  int64_t samples = 1;  // responses a prompt
  int64_t max_new_tokens = 1;
  infer::SamplingOptions sampling;
  core::RandomKey key;  // seed and step of sampled evaluations; greedy does not use it
};

// Everything but the time, from judged groups. A success is what the reward calls one. Throws Error{Data} without any
// group.
EvalResult score_groups(std::vector<rollout::Group> groups);

// Draws, judges and scores. Throws Error{Data} without any prompt.
EvalResult evaluate(infer::Engine& engine, const text::Tokenizer& tokenizer,
                    const std::vector<rollout::Prompt>& prompts, reward::Reward& reward, const Drawing& drawing);

}  // namespace thinktune::eval
