#include <ATen/ATen.h>

#include "thinktune/core/error.h"
#include "thinktune/infer/kv_cache.h"
#include "thinktune/infer/model_runner.h"

namespace thinktune::infer {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

struct CpuSequence final : KvSequence {
  KvContext context;
  int64_t num_tokens() const override { return context.num_tokens(); }
};

KvContext& context_of(KvSequence& sequence) { return static_cast<CpuSequence&>(sequence).context; }

struct ComputedStep final : StartedStep {
  std::vector<SampledToken> tokens;
  explicit ComputedStep(std::vector<SampledToken> drawn) : tokens(std::move(drawn)) {}
  std::vector<SampledToken> take() override { return std::move(tokens); }
};

class CpuRunner final : public ModelRunner {
 public:
  CpuRunner(const model::Decoder& decoder, const model::Weights& weights, std::shared_ptr<KvMemory> memory)
      : decoder_(decoder), weights_(weights), memory_(std::move(memory)) {}

  void prepare() override {
    if (!packed_.layers.empty()) return;
    const bool all_there = weights_.loader == nullptr || weights_.loader->holds_all();
    packed_ = all_there ? model::pack(weights_) : weights_;
  }
  void release() override { packed_ = {}; }

  KvSizes sizes() const override { return {decoder_.config(), dtype(), /*in_pages=*/false}; }
  int64_t used_bytes() const override { return memory_->used_bytes; }

  std::shared_ptr<KvSequence> extend(std::shared_ptr<const KvSequence> before, int64_t capacity) override {
    auto sequence = std::make_shared<CpuSequence>();
    if (before != nullptr) {
      const KvContext& context = static_cast<const CpuSequence&>(*before).context;
      sequence->context.before = context.before;
      sequence->context.before.push_back(context.own);
    }
    sequence->context.own = std::make_shared<KvBlock>(decoder_.config(), dtype(), capacity, *memory_);
    return sequence;
  }

  void complete(KvSequence& sequence) override {
    const KvContext& context = context_of(sequence);
    context.own->complete(context.before);
  }

  at::Tensor prefill(const std::vector<std::shared_ptr<KvSequence>>& sequences,
                     const std::vector<std::vector<TokenId>>& tokens) override {
    std::vector<KvContext> contexts;
    std::vector<int64_t> ids, positions, counts;
    for (size_t i = 0; i < sequences.size(); ++i) {
      contexts.push_back(context_of(*sequences[i]));
      const int64_t before = sequences[i]->num_tokens();
      for (size_t t = 0; t < tokens[i].size(); ++t) {
        ids.push_back(tokens[i][t]);
        positions.push_back(before + static_cast<int64_t>(t));
      }
      counts.push_back(std::ssize(tokens[i]));
    }
    PrefillAttention attention(decoder_.config(), contexts, counts);
    const at::Tensor hidden_TD = decoder_.forward(packed_, index_tensor(ids), index_tensor(positions), attention);
    for (size_t i = 0; i < contexts.size(); ++i) contexts[i].own->set_size(contexts[i].own->size() + counts[i]);
    return hidden_TD;
  }

  at::Tensor logits(const at::Tensor& hidden_TD, const std::vector<int64_t>& rows) override {
    return decoder_.logits(packed_, hidden_TD.index_select(0, index_tensor(rows)));
  }

  std::vector<SampledToken> sample(const at::Tensor& logits_BV, const SamplingOptions& sampling,
                                   std::span<const core::RandomKey> keys,
                                   std::span<const uint32_t> positions) override {
    return sample_tokens(logits_BV, sampling, keys, positions);
  }

  std::unique_ptr<StartedStep> decode(std::span<const DecodeRow> rows, const SamplingOptions& sampling) override {
    step_.clear();
    for (const DecodeRow& row : rows) {
      step_.ids.push_back(row.last_id);
      step_.positions.push_back(row.sequence->num_tokens());
      step_.contexts.push_back(&context_of(*row.sequence));
      step_.keys.push_back(row.key);
      step_.draws.push_back(row.draw);
    }
    decode_attention_.set_contexts(step_.contexts);
    const at::Tensor hidden_BD =
        decoder_.forward(packed_, index_tensor(step_.ids), index_tensor(step_.positions), decode_attention_);
    for (KvContext* context : step_.contexts) context->own->set_size(context->own->size() + 1);
    return std::make_unique<ComputedStep>(
        sample_tokens(decoder_.logits(packed_, hidden_BD), sampling, step_.keys, step_.draws));
  }

  std::unique_ptr<ModelRunner> beside(const model::Weights& weights) const override {
    return std::make_unique<CpuRunner>(decoder_, weights, memory_);
  }

  int64_t steps_ahead() const override { return 0; }

 private:
  // What a decode step is made of, of its sequences; its memory is kept for the next one.
  struct Step {
    std::vector<int64_t> ids, positions;
    std::vector<KvContext*> contexts;
    std::vector<core::RandomKey> keys;
    std::vector<uint32_t> draws;

    void clear() {
      ids.clear();
      positions.clear();
      contexts.clear();
      keys.clear();
      draws.clear();
    }
  };

  at::ScalarType dtype() const { return weights_.embedding.scalar_type(); }

  const model::Decoder& decoder_;
  const model::Weights& weights_;
  model::Weights packed_;  // copies of `weights_` for products; empty: to be made
  std::shared_ptr<KvMemory> memory_;
  Step step_;
  DecodeAttention decode_attention_{decoder_.config()};
};

}  // namespace

std::unique_ptr<ModelRunner> make_cpu_runner(const model::Decoder& decoder, const model::Weights& weights) {
  return std::make_unique<CpuRunner>(decoder, weights, std::make_shared<KvMemory>());
}

}  // namespace thinktune::infer
