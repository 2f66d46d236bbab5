// Accuracy on held-out problems, with its uncertainty.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/core/options.h"
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
  infer::SamplingOptions sampling{.temperature = 0};
};
void describe(core::Fields& fields, EvalOptions& options);
void validate(const EvalOptions& options);

struct Interval {
  double low = 0;
  double high = 0;
};

// Wilson's 95 % interval of a share: `successes` of `count`. [0, 1] for a count of 0.
Interval wilson_interval(int64_t successes, int64_t count);

struct EvalResult {
  std::vector<rollout::Group> groups;  // one rollout each, judged
  int64_t num_right = 0;
  double accuracy = 0;        // share of answers judged right in a response that ended by itself
  Interval interval;          // 95 %
  double mean_length = 0;     // tokens, the end-of-turn token included
  double ended_share = 0;     // ended by themselves
  double unparsed_share = 0;  // no answer could be read
  double seconds = 0;
};

// One response a prompt. `key` gives seed and step for sampled evaluations; greedy does not use it.
EvalResult evaluate(infer::Engine& engine, const text::Tokenizer& tokenizer,
                    const std::vector<rollout::Prompt>& prompts, const reward::Reward& reward, int64_t max_new_tokens,
                    const infer::SamplingOptions& sampling, const core::RandomKey& key);

}  // namespace thinktune::eval
