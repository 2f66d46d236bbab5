// What an engine is made of, for generate.cpp and score.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "thinktune/infer/engine.h"
#include "thinktune/infer/model_runner.h"

namespace thinktune::infer {

// Tokens that prompts begin with: computed once, before the prompts themselves.
struct Prefix {
  std::vector<TokenId> ids;
  std::shared_ptr<KvSequence> computed;
};

struct Engine::State {
  const model::Decoder& decoder;
  const model::Weights& weights;
  const text::Tokenizer& tokenizer;
  EngineOptions options;
  std::unique_ptr<ModelRunner> runner;  // before the sequences that it holds
  EngineStats stats;
  Prefix held;
  std::function<void()> before_each_round;

  const model::ModelConfig& config() const { return decoder.config(); }
  int64_t limit_bytes() const { return options.kv_cache_mib << 20; }
  bool has_room(int64_t bytes) const { return runner->used_bytes() + bytes <= limit_bytes(); }

  // Throws: a prompt and what stands behind it take `bytes` more, for which there is never room.
  [[noreturn]] void refuse_memory(int64_t prompt_tokens, int64_t new_tokens, int64_t bytes) const;

  // A sequence with room for `capacity` tokens behind `before` (null: behind nothing).
  std::shared_ptr<KvSequence> extend(const std::shared_ptr<KvSequence>& before, int64_t capacity);

  // Computes the tokens of each sequence behind it; returns their hidden states, flat.
  at::Tensor prefill(const std::vector<std::shared_ptr<KvSequence>>& sequences,
                     const std::vector<std::vector<TokenId>>& tokens);

  void compute(Prefix& prefix);

  // What the prompts that do not begin with the held prefix have in common, one token short of the shortest of them.
  Prefix common_prefix(const std::vector<const std::vector<TokenId>*>& prompts) const;

  bool uses_held(const std::vector<TokenId>& prompt) const;
  const Prefix& prefix_of(const std::vector<TokenId>& prompt, const Prefix& common) const {
    return uses_held(prompt) ? held : common;
  }

  // Room for the prompt's own tokens behind its prefix, and those tokens.
  std::shared_ptr<KvSequence> begin(const std::vector<TokenId>& prompt, const Prefix& prefix,
                                    std::vector<TokenId>& rest) {
    rest.assign(prompt.begin() + std::ssize(prefix.ids), prompt.end());
    return extend(prefix.computed, std::ssize(rest));
  }
};

}  // namespace thinktune::infer
