#include "thinktune/infer/sample_groups.h"

#include "thinktune/core/batch_worker.h"
#include "thinktune/ops/device.h"

namespace thinktune::infer {
namespace {

// The text is left to the thread that judges it.
rollout::Rollout to_rollout(const Generation& generation) {
  rollout::Rollout rollout;
  rollout.ids = generation.ids;
  rollout.sampler_logprobs = generation.logprobs;
  rollout.origin.assign(rollout.ids.size(), rollout::Origin::Student);
  if (generation.stop == Stop::EndOfTurn) rollout.finish = rollout::Finish::EndOfTurn;
  return rollout;
}

std::string words_of(const rollout::Rollout& rollout, const text::Tokenizer& tokenizer) {
  std::vector<TokenId> words = rollout.ids;
  if (rollout.finish == rollout::Finish::EndOfTurn) words.pop_back();
  return tokenizer.decode(words);
}

}  // namespace

std::vector<rollout::Group> sample_groups(Engine& engine, const text::Tokenizer& tokenizer,
                                          const std::vector<rollout::Prompt>& prompts, int64_t group_size,
                                          int64_t max_new_tokens, const SamplingOptions& sampling,
                                          const core::RandomKey& key, const OnSampled& on_sampled) {
  std::vector<rollout::Group> groups;
  for (const rollout::Prompt& prompt : prompts)
    groups.push_back({prompt, std::vector<rollout::Rollout>(static_cast<size_t>(group_size))});
  core::BatchWorker<rollout::Sampled> beside([&](const std::vector<rollout::Sampled>& rollouts) {
    for (const rollout::Sampled& sampled : rollouts) sampled.rollout->text = words_of(*sampled.rollout, tokenizer);
    on_sampled(rollouts);
  });

  std::vector<Request> requests;
  for (rollout::Group& group : groups)
    requests.push_back({.prompt_ids = group.prompt.ids,
                        .num_samples = group_size,
                        .max_new_tokens = max_new_tokens,
                        .prompt_number = group.prompt.number,
                        .on_end = [&group, &beside](uint32_t sample, const Generation& generation) {
                          group.rollouts[sample] = to_rollout(generation);
                          beside.add({&group.prompt, &group.rollouts[sample]});
                        }});
  const ops::ProfilerRange range("sample");
  engine.generate(requests, sampling, key);
  beside.finish();
  return groups;
}

}  // namespace thinktune::infer
