// From prompts to rollouts.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/infer/engine.h"
#include "thinktune/rollout/types.h"

namespace thinktune::infer {

// `group_size` rollouts of each prompt, in order of prompts and samples; a prompt's random numbers are keyed by its
// number. Reward, guidance and advantage are left to later stages. `tokenizer` decodes the text, without the
// end-of-turn token.
std::vector<rollout::Group> sample_groups(Engine& engine, const text::Tokenizer& tokenizer,
                                          const std::vector<rollout::Prompt>& prompts, int64_t group_size,
                                          int64_t max_new_tokens, const SamplingOptions& sampling,
                                          const core::RandomKey& key);

}  // namespace thinktune::infer
