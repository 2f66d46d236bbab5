#include "thinktune/infer/sample_groups.h"

namespace thinktune::infer {
namespace {

rollout::Rollout to_rollout(Generation generation, const text::Tokenizer& tokenizer) {
  rollout::Rollout rollout;
  rollout.ids = std::move(generation.ids);
  rollout.sampler_logprobs = std::move(generation.logprobs);
  rollout.origin.assign(rollout.ids.size(), rollout::Origin::Student);
  std::vector<TokenId> words = rollout.ids;
  if (generation.stop == Stop::EndOfTurn) {
    rollout.finish = rollout::Finish::EndOfTurn;
    words.pop_back();
  }
  rollout.text = tokenizer.decode(words);
  return rollout;
}

}  // namespace

std::vector<rollout::Group> sample_groups(Engine& engine, const text::Tokenizer& tokenizer,
                                          const std::vector<rollout::Prompt>& prompts, int64_t group_size,
                                          int64_t max_new_tokens, const SamplingOptions& sampling,
                                          const core::RandomKey& key) {
  std::vector<Request> requests;
  for (const rollout::Prompt& prompt : prompts)
    requests.push_back({.prompt_ids = prompt.ids,
                        .num_samples = group_size,
                        .max_new_tokens = max_new_tokens,
                        .prompt_number = prompt.number});
  auto generations = engine.generate(requests, sampling, key);
  std::vector<rollout::Group> groups(prompts.size());
  for (size_t p = 0; p < prompts.size(); ++p) {
    groups[p].prompt = prompts[p];
    for (Generation& generation : generations[p])
      groups[p].rollouts.push_back(to_rollout(std::move(generation), tokenizer));
  }
  return groups;
}

}  // namespace thinktune::infer
