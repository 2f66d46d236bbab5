#include "thinktune/train/memory.h"

#include <algorithm>

namespace thinktune::train {
namespace {

// Kept for backward by the decoder's graph, for one token: of each layer the inputs of norms and products, attention's
// queries, keys and result, and the MLP's hidden layer.
int64_t activation_bytes(const model::ModelConfig& c, int64_t element) {
  const int64_t q = c.num_heads * c.head_dim, qkv = q + 2 * c.num_kv_heads * c.head_dim;
  const int64_t norms = c.norm_placement == model::NormPlacement::Both ? 8 : 4;
  const int64_t layer = element * (norms * c.hidden_size + 2 * qkv + q + 3 * c.intermediate_size) + 4 * c.num_heads;
  return c.num_layers * layer;
}

}  // namespace

std::vector<MemoryPart> memory_of_training(const model::ModelConfig& config, const TrainOptions& options) {
  const int64_t parameters = model::num_parameters(config);
  const bool bf16 = options.precision == Precision::Bf16;
  const int64_t element = bf16 ? 2 : 4;
  std::vector<MemoryPart> parts = {
      {"f32 weights", 4 * parameters}, {"f32 gradients", 4 * parameters}, {"AdamW's two moments, f32", 8 * parameters}};
  if (bf16) {
    parts.push_back({"bf16 weights of the sampler", 2 * parameters});
    parts.push_back({"bf16 weights and gradients of an update", 4 * parameters});
  }
  const int64_t matrices = parameters + (config.tie_word_embeddings ? 0 : -config.vocab_size * config.hidden_size);
  parts.push_back(
      {"the sampler's copies laid out for products", (options.guidance.enabled ? 2 : 1) * element * matrices});
  if (options.guidance.enabled || options.loss.kl_coefficient != 0)
    parts.push_back({"frozen first weights (teacher, KL)", element * parameters});
  const int64_t longest =
      options.prompt.max_prompt_tokens + std::max(options.rollout.max_new_tokens, options.guidance.response_limit);
  const int64_t row = 2 * config.num_layers * config.num_kv_heads * config.head_dim * element;
  parts.push_back({"keys and values of the sampler, at most", options.engine.max_sequences * longest * row});
  parts.push_back(
      {"activations of a micro-batch, about", options.update.micro_batch_tokens * activation_bytes(config, element)});
  return parts;
}

int64_t total_bytes(const std::vector<MemoryPart>& parts) {
  int64_t total = 0;
  for (const MemoryPart& part : parts) total += part.bytes;
  return total;
}

}  // namespace thinktune::train
