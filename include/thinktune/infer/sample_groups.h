// From prompts to rollouts.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "thinktune/infer/engine.h"
#include "thinktune/rollout/types.h"

namespace thinktune::infer {

using OnSampled = std::function<void(const std::vector<rollout::Sampled>& rollouts)>;

// `group_size` rollouts of each prompt, in order of prompts and samples; a prompt's random numbers are keyed by its
// number. Guidance and advantage are left to later stages. `tokenizer` decodes the text, without the end-of-turn token.
// on_sampled gets each rollout once, those together that have ended since its last call, on another thread while others
// are being sampled. What it throws ends the sampling, and is thrown here.
std::vector<rollout::Group> sample_groups(Engine& engine, const text::Tokenizer& tokenizer,
                                          const std::vector<rollout::Prompt>& prompts, int64_t group_size,
                                          int64_t max_new_tokens, const SamplingOptions& sampling,
                                          const core::RandomKey& key, const OnSampled& on_sampled);

}  // namespace thinktune::infer
