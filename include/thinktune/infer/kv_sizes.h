// What keys and values take, by the model's config alone: an engine, the set-up of a run and `--dry-run` count with the
// same numbers.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "thinktune/model/config.h"

namespace thinktune::infer {

// Bytes of the keys and values of so many tokens in all layers.
int64_t kv_bytes(const model::ModelConfig& config, at::ScalarType dtype, int64_t tokens);

class KvSizes {
 public:
  // In blocks, as on a CPU, or in pages, as on a GPU. `config` must outlive this.
  KvSizes(const model::ModelConfig& config, at::ScalarType dtype, bool in_pages)
      : config_(config), dtype_(dtype), in_pages_(in_pages) {}

  // Bytes of a sequence's own rows, with room for so many tokens, at most.
  int64_t rows(int64_t tokens) const;

  // Bytes of the one copy that is made of a prompt of so many tokens, laid out for products, which all its samples
  // read; 0 where attention reads the rows themselves: in pages, with windows, in f32, and with a head size that is no
  // multiple of 32.
  int64_t tiles(int64_t prompt_tokens) const;

  // Bytes of one sample and its prompt, whose first `held_tokens` lie there already, whichever part of the rest other
  // prompts begin with too: where so many are free, nothing waits in vain.
  int64_t sample(int64_t prompt_tokens, int64_t new_tokens, int64_t held_tokens = 0) const;

 private:
  const model::ModelConfig& config_;
  at::ScalarType dtype_;
  bool in_pages_;
};

}  // namespace thinktune::infer
