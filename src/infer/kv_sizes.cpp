#include "thinktune/infer/kv_sizes.h"

#include <algorithm>

#include "page_pool.h"
#include "thinktune/ops/decode_attention.h"

namespace thinktune::infer {

int64_t kv_bytes(const model::ModelConfig& config, at::ScalarType dtype, int64_t tokens) {
  return 2 * config.num_layers * tokens * config.num_kv_heads * config.head_dim *
         static_cast<int64_t>(c10::elementSize(dtype));
}

int64_t KvSizes::rows(int64_t tokens) const {
  if (tokens <= 0) return 0;
  if (!in_pages_) return kv_bytes(config_, dtype_, tokens);
  // The first page may begin with another's tokens.
  return (PagePool::pages_for(tokens) + 1) * kv_bytes(config_, dtype_, PagePool::kPageTokens);
}

int64_t KvSizes::tiles(int64_t prompt_tokens) const {
  // A layer that looks at a window sees another part of what is shared with each token.
  const auto has_window = [](int64_t window) { return window > 0; };
  if (in_pages_ || std::any_of(config_.windows.begin(), config_.windows.end(), has_window)) return 0;
  return config_.num_layers * ops::tiled_kv_bytes(prompt_tokens, config_.num_kv_heads, config_.head_dim, dtype_);
}

int64_t KvSizes::sample(int64_t prompt_tokens, int64_t new_tokens, int64_t held_tokens) const {
  // In pages two parts of a prompt take the most where the first of them is one token.
  return rows(1) + rows(prompt_tokens - held_tokens - 1) + rows(new_tokens) + tiles(prompt_tokens);
}

}  // namespace thinktune::infer
