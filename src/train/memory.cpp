#include "thinktune/train/memory.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "thinktune/infer/kv_sizes.h"

namespace thinktune::train {
namespace {

// Kept for backward by the decoder's graph, for one token: of each layer the inputs of norms and products, attention's
// queries, keys and result, and the MLP's gate and up.
// Checkpointed: of each layer its input, and of one layer all.
int64_t activation_bytes(const model::ModelConfig& c, int64_t element, bool checkpointed) {
  const int64_t q = c.num_heads * c.head_dim, qkv = q + 2 * c.num_kv_heads * c.head_dim;
  const int64_t norms = c.norm_placement == model::NormPlacement::Both ? 8 : 4;
  const int64_t layer = element * (norms * c.hidden_size + 2 * qkv + q + 2 * c.intermediate_size) + 4 * c.num_heads;
  return checkpointed ? c.num_layers * element * c.hidden_size + layer : c.num_layers * layer;
}

// Numbers of the weights: of one layer, and of what stands outside of the layers.
struct Sizes {
  int64_t all = 0, embedding = 0, outside = 0, layer = 0;

  explicit Sizes(const model::ModelConfig& c)
      : all(model::num_parameters(c)),
        embedding(c.vocab_size * c.hidden_size),
        outside((c.tie_word_embeddings ? 1 : 2) * embedding + c.hidden_size),
        layer((all - outside) / c.num_layers) {}
};

// What all of the teacher's prompts begin with, at most.
int64_t kept_kv_tokens(const TrainOptions& o) { return o.guidance.enabled ? o.guidance.max_teacher_prompt_tokens : 0; }

// Of gradients that are exchanged, beside those that stay: two buckets at most, and what the second is laid out from,
// unless it is one gradient that fills its bucket. Without shares buckets become the gradients.
int64_t gradient_bytes_on_their_way(const Sizes& size, const comm::CommOptions& o, int64_t num_ranks) {
  const bool divided = o.shard == comm::Shard::Parameters;
  const int64_t usual = divided ? 4 * size.layer : std::min(o.bucket_mib << 20, 4 * size.all);
  const int64_t largest = divided ? 4 * std::max(size.layer, size.outside) : std::max(usual, 4 * size.embedding);
  const bool fills = !divided && largest > usual && size.embedding % (64 * num_ranks) == 0;
  const int64_t laid_out = std::max(usual, fills ? 0 : largest);
  if (!o.fixed_order && !divided && o.shard != comm::Shard::Gradients) return laid_out;
  // In a fixed order the terms of a sum arrive singly.
  return laid_out + largest + usual + (o.fixed_order ? largest + usual : 0);
}

// Of one sequence that is sampled, the student's or the teacher's.
int64_t longest_tokens(const TrainOptions& o) {
  const int64_t student = o.prompt.max_prompt_tokens + std::max(o.rollout.max_new_tokens, o.eval.max_new_tokens);
  return o.guidance.enabled ? std::max(student, o.guidance.max_teacher_prompt_tokens + o.guidance.max_reply_tokens)
                            : student;
}

// Weights, gradients and optimiser.
void add_state(std::vector<MemoryPart>& parts, const Sizes& size, const TrainOptions& o, int64_t num_ranks) {
  using comm::Shard;
  const Shard shard = num_ranks > 1 ? o.comm.shard : Shard::None;
  const bool bf16 = o.precision == Precision::Bf16;
  const int64_t element = bf16 ? 2 : 4;
  const int64_t share = shard != Shard::None ? (size.all + num_ranks - 1) / num_ranks : size.all;  // but for padding
  const bool divided = shard == Shard::Parameters;
  parts.push_back({"f32 weights", 4 * (bf16 || divided ? share : size.all)});
  if (shard != Shard::None && !bf16) parts.push_back({"the optimiser's share of the weights", 4 * share});
  parts.push_back(
      {"f32 gradients", 4 * (divided || shard == Shard::Gradients ? share : size.all), MemoryPhase::Update});
  parts.push_back({"AdamW's two moments, f32", 8 * share});
  if (bf16) parts.push_back({"bf16 weights", 2 * (divided ? share : size.all)});
  if (num_ranks > 1)
    parts.push_back(
        {"gradients on their way, at most", gradient_bytes_on_their_way(size, o.comm, num_ranks), MemoryPhase::Update});
  if (divided) {
    const int64_t by_layer = element * (2 * size.layer + size.outside);
    if (o.comm.gather == comm::Gather::Keep) {
      parts.push_back({"weights that came together", element * size.all});
    } else {
      parts.push_back({"weights of two layers, embedding and head", by_layer, MemoryPhase::Update});
      parts.push_back({"weights that came together for sampling",
                       o.comm.gather == comm::Gather::Layer ? by_layer : element * size.all, MemoryPhase::Sampling});
    }
  }
  if (o.guidance.enabled || o.loss.kl_coefficient != 0)
    parts.push_back({"frozen first weights (teacher, KL)", element * (divided ? share : size.all)});
}

// The student and its teacher sample one after the other, in one memory. A GPU's pages are taken once for the run, as
// many as all sequences can fill.
void add_cache(std::vector<MemoryPart>& parts, const model::ModelConfig& config, const TrainOptions& o,
               Processor processor) {
  const at::ScalarType dtype = o.precision == Precision::Bf16 ? at::kBFloat16 : at::kFloat;
  const int64_t limit = o.engine.kv_cache_mib << 20;
  if (processor == Processor::Gpu) {
    parts.push_back({"keys and values of the sampler", std::min(infer::kv_bytes(config, dtype, kv_tokens(o)), limit)});
    return;
  }
  const infer::KvSizes sizes(config, dtype, /*in_pages=*/false);
  // Each sample of another prompt, and one prompt that waits.
  const auto most = [&](int64_t prompt_tokens, int64_t new_tokens) {
    return o.engine.max_sequences * sizes.sample(prompt_tokens, new_tokens) + sizes.sample(prompt_tokens, 0);
  };
  const guidance::GuidanceOptions& g = o.guidance;
  const bool in_parts = g.format == guidance::Format::Constrained;  // the reason is in the prompt of the phrase
  const int64_t student = most(o.prompt.max_prompt_tokens, std::max(o.rollout.max_new_tokens, o.eval.max_new_tokens));
  const int64_t teacher = !g.enabled ? 0
                          : in_parts ? most(g.max_teacher_prompt_tokens + g.max_reason_tokens, g.max_phrase_tokens)
                                     : most(g.max_teacher_prompt_tokens, g.max_reply_tokens);
  parts.push_back({"keys and values of the sampler, at most",
                   std::min(std::max(student, teacher) + sizes.rows(kept_kv_tokens(o)), limit), MemoryPhase::Sampling});
}

}  // namespace

int64_t kv_tokens(const TrainOptions& o) {
  const int64_t student =
      infer::kv_tokens(o.engine, o.prompt.max_prompt_tokens, std::max(o.rollout.max_new_tokens, o.eval.max_new_tokens));
  if (!o.guidance.enabled) return student;
  const int64_t teacher = infer::kv_tokens(o.engine, o.guidance.max_teacher_prompt_tokens, o.guidance.max_reply_tokens);
  return std::max(student + kept_kv_tokens(o), teacher);
}

std::vector<MemoryPart> memory_of_training(const model::ModelConfig& config, const TrainOptions& options,
                                           int64_t num_ranks, Processor processor) {
  const Sizes size(config);
  const bool bf16 = options.precision == Precision::Bf16, on_gpu = processor == Processor::Gpu;
  const bool layer_by_layer =
      num_ranks > 1 && options.comm.shard == comm::Shard::Parameters && options.comm.gather == comm::Gather::Layer;
  const int64_t element = bf16 ? 2 : 4;
  std::vector<MemoryPart> parts;
  add_state(parts, size, options, num_ranks);
  if (bf16 && on_gpu)  // elsewhere products add to f32
    parts.push_back({"bf16 gradients on their way to f32, at most", 4 * config.vocab_size * config.hidden_size,
                     MemoryPhase::Update});
  if (!on_gpu && !layer_by_layer) {  // a GPU's products read the weights as they are
    const int64_t matrices = size.all + (config.tie_word_embeddings ? 0 : -config.vocab_size * config.hidden_size);
    parts.push_back({"the sampler's copies laid out for products", element * matrices, MemoryPhase::Sampling});
    if (options.guidance.enabled) parts.push_back({"the teacher's copies laid out for products", element * matrices});
  }
  if (!on_gpu && num_ranks > 1 && options.comm.shard == comm::Shard::Parameters)
    parts.push_back({"Gloo's copies of weights on their way", element * (size.layer + size.outside)});
  add_cache(parts, config, options, processor);
  if (on_gpu) {
    // Of a decode step, and of the samples that enter together; drawing takes none.
    parts.push_back({"logits", 2 * element * options.engine.max_sequences * config.vocab_size, MemoryPhase::Sampling});
    parts.push_back({"partial results of attention in a decode step",
                     infer::decode_scratch_bytes(config, options.engine, longest_tokens(options)),
                     MemoryPhase::Sampling});
    parts.push_back({"CUDA's own, about", int64_t{700} << 20});
  }
  parts.push_back(
      {"activations of a micro-batch, about",
       options.update.micro_batch_tokens * activation_bytes(config, element, options.update.gradient_checkpointing),
       MemoryPhase::Update});
  if (const int64_t copy = bytes_of_saved_copy(config, options); !on_gpu && copy > 0)  // a GPU's is the host's
    parts.push_back({"a copy that is being saved, on rank 0", copy});
  return parts;
}

int64_t bytes_of_saved_copy(const model::ModelConfig& config, const TrainOptions& options) {
  const checkpoint::CheckpointOptions& o = options.checkpoint;
  if (!o.background || (o.every == 0 && o.retention.keep_best == 0)) return 0;
  return (options.precision == Precision::Bf16 ? 14 : 12) * model::num_parameters(config);
}

int64_t peak_bytes(const std::vector<MemoryPart>& parts) {
  const auto during = [&](MemoryPhase phase) {
    int64_t bytes = 0;
    for (const MemoryPart& part : parts) bytes += part.phase == phase ? part.bytes : 0;
    return bytes;
  };
  return during(MemoryPhase::Always) + std::max(during(MemoryPhase::Sampling), during(MemoryPhase::Update));
}

comm::Gather gather_that_fits(const model::ModelConfig& config, const TrainOptions& options, int64_t num_ranks,
                              int64_t device_bytes, Processor processor) {
  using comm::Gather;
  if (options.comm.gather != Gather::Auto) return options.comm.gather;
  TrainOptions o = options;
  for (const Gather gather : {Gather::Keep, Gather::Whole}) {
    o.comm.gather = gather;
    if (peak_bytes(memory_of_training(config, o, num_ranks, processor)) <= device_bytes / 10 * 9) return gather;
  }
  return Gather::Layer;
}

std::string gpus_that_hold(int64_t bytes) {
  std::vector<std::string> fit, not_fit;
  for (const int64_t gigabytes : {24, 48, 80})
    (bytes <= gigabytes * 1'000'000'000 ? fit : not_fit).push_back(std::to_string(gigabytes));
  if (fit.empty()) return "fits none of 24, 48 and 80 GB";
  if (not_fit.empty()) return "fits 24, 48 and 80 GB";
  return fmt::format("fits {} GB, not {} GB", fmt::join(fit, " and "), fmt::join(not_fit, " and "));
}

}  // namespace thinktune::train
