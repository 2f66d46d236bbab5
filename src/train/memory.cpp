#include "thinktune/train/memory.h"

#include <algorithm>

#include "thinktune/infer/kv_cache.h"

namespace thinktune::train {
namespace {

// Kept for backward by the decoder's graph, for one token: of each layer the inputs of norms and products, attention's
// queries, keys and result, and the MLP's hidden layer.
// Checkpointed: of each layer its input, and of one layer all.
int64_t activation_bytes(const model::ModelConfig& c, int64_t element, bool checkpointed) {
  const int64_t q = c.num_heads * c.head_dim, qkv = q + 2 * c.num_kv_heads * c.head_dim;
  const int64_t norms = c.norm_placement == model::NormPlacement::Both ? 8 : 4;
  const int64_t layer = element * (norms * c.hidden_size + 2 * qkv + q + 3 * c.intermediate_size) + 4 * c.num_heads;
  return checkpointed ? c.num_layers * element * c.hidden_size + layer : c.num_layers * layer;
}

}  // namespace

std::vector<MemoryPart> memory_of_training(const model::ModelConfig& config, const TrainOptions& options,
                                           int64_t num_ranks) {
  const int64_t parameters = model::num_parameters(config);
  const bool bf16 = options.precision == Precision::Bf16;
  const int64_t element = bf16 ? 2 : 4;
  const bool shares = num_ranks > 1 && options.comm.shard != comm::Shard::None;
  const int64_t share = shares ? (parameters + num_ranks - 1) / num_ranks : parameters;  // but for padding
  std::vector<MemoryPart> parts = {{"f32 weights", 4 * (bf16 ? share : parameters)}};
  if (shares && !bf16) parts.push_back({"the optimiser's share of the weights", 4 * share});
  parts.push_back({"f32 gradients", 4 * (options.comm.shard == comm::Shard::Gradients ? share : parameters)});
  parts.push_back({"AdamW's two moments, f32", 8 * share});
  if (num_ranks > 1)
    parts.push_back({"a bucket of gradients on its way, at least", options.comm.bucket_mib << 20, MemoryPhase::Update});
  if (bf16) {
    parts.push_back({"bf16 weights", 2 * parameters});
    parts.push_back({"bf16 gradients on their way to f32, at most", 4 * config.vocab_size * config.hidden_size,
                     MemoryPhase::Update});
  }
  const int64_t matrices = parameters + (config.tie_word_embeddings ? 0 : -config.vocab_size * config.hidden_size);
  parts.push_back({"the sampler's copies laid out for products", element * matrices, MemoryPhase::Sampling});
  if (options.guidance.enabled || options.loss.kl_coefficient != 0)
    parts.push_back({"frozen first weights (teacher, KL)", element * parameters});
  if (options.guidance.enabled) parts.push_back({"the teacher's copies laid out for products", element * matrices});
  // The student and its teacher sample one after the other, each within the engine's bound.
  int64_t longest = options.prompt.max_prompt_tokens + options.rollout.max_new_tokens;
  if (options.guidance.enabled)
    longest = std::max(longest, options.guidance.max_teacher_prompt_tokens + options.guidance.max_reply_tokens);
  const int64_t row = infer::kv_bytes(config, bf16 ? at::kBFloat16 : at::kFloat, 1);
  parts.push_back({"keys and values of the sampler, at most",
                   std::min(options.engine.max_sequences * longest * row, options.engine.kv_cache_mib << 20),
                   MemoryPhase::Sampling});
  parts.push_back(
      {"activations of a micro-batch, about",
       options.update.micro_batch_tokens * activation_bytes(config, element, options.update.gradient_checkpointing),
       MemoryPhase::Update});
  if (options.checkpoint.background && options.checkpoint.every > 0)
    parts.push_back({"a copy that is being saved, on rank 0", (bf16 ? 14 : 12) * parameters});
  return parts;
}

int64_t peak_bytes(const std::vector<MemoryPart>& parts) {
  const auto during = [&](MemoryPhase phase) {
    int64_t bytes = 0;
    for (const MemoryPart& part : parts) bytes += part.phase == phase ? part.bytes : 0;
    return bytes;
  };
  return during(MemoryPhase::Always) + std::max(during(MemoryPhase::Sampling), during(MemoryPhase::Update));
}

}  // namespace thinktune::train
