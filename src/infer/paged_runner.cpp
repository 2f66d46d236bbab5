// Letters: B sequences of a decode step (those of the bucket), T new tokens of a prefill, W pages of a sequence's
// table.
#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <tuple>

#include "infer/page_pool.h"
#include "infer/recording.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/model_runner.h"
#include "thinktune/ops/paged_attention.h"
#include "thinktune/ops/sample_rows.h"
#include "thinktune/ops/varlen_attention.h"

namespace thinktune::infer {
namespace {

constexpr int64_t kPageTokens = PagePool::kPageTokens;

class PagedSequence final : public KvSequence {
 public:
  PagedSequence(PagePool& pool, const PagedSequence* before, int64_t capacity) : pool_(pool) {
    num_tokens_ = before != nullptr ? before->num_tokens_ : 0;
    const int64_t shared = num_tokens_ / kPageTokens, in_last = num_tokens_ % kPageTokens;
    for (int64_t i = 0; i < shared; ++i) {
      pages_.push_back(before->pages_[static_cast<size_t>(i)]);
      pool_.hold(pages_.back());
    }
    const std::vector<int32_t> own = pool_.take(PagePool::pages_for(num_tokens_ + capacity) - shared);
    pages_.insert(pages_.end(), own.begin(), own.end());
    // The page that `before` has not filled: each that goes on from it has its own.
    if (in_last > 0) pool_.copy_rows(before->pages_[static_cast<size_t>(shared)], own.front(), in_last);
  }
  ~PagedSequence() override {
    for (const int32_t page : pages_) pool_.let_go(page);
  }
  PagedSequence(const PagedSequence&) = delete;
  PagedSequence& operator=(const PagedSequence&) = delete;

  int64_t num_tokens() const override { return num_tokens_; }
  void add_tokens(int64_t tokens) { num_tokens_ += tokens; }

  const std::vector<int32_t>& pages() const { return pages_; }
  int64_t row(int64_t position) const {
    const auto page = static_cast<size_t>(position / kPageTokens);
    TT_CHECK(page < pages_.size(), "position {} of a sequence with room for {} tokens", position,
             std::ssize(pages_) * kPageTokens);
    return pages_[page] * kPageTokens + position % kPageTokens;
  }

 private:
  PagePool& pool_;
  std::vector<int32_t> pages_;
  int64_t num_tokens_ = 0;
};

PagedSequence& paged(KvSequence& sequence) { return static_cast<PagedSequence&>(sequence); }

class PagedAttention : public model::Attention {
 public:
  PagedAttention(const model::ModelConfig& config, const PagePool& pool) : config_(config), pool_(pool) {}

 protected:
  ops::AttentionOptions options(int64_t layer) const {
    return {.scale = config_.attention_scale,
            .softcap = config_.attention_softcap,
            .window = model::window_of(config_, layer)};
  }
  const model::ModelConfig& config_;
  const PagePool& pool_;
};

class PagedPrefill final : public PagedAttention {
 public:
  struct Rows {
    at::Tensor new_rows_T, context_rows_S;  // int64, rows of the pool
    ops::VarlenLayout layout;
  };
  PagedPrefill(const model::ModelConfig& config, const PagePool& pool, Rows rows)
      : PagedAttention(config, pool), rows_(std::move(rows)) {}

  at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH) override {
    const at::Tensor keys = pool_.keys(layer), values = pool_.values(layer);
    ops::write_rows(keys, values, rows_.new_rows_T, k_TKH, v_TKH);
    return ops::varlen_attention(q_TNH, keys.index_select(0, rows_.context_rows_S),
                                 values.index_select(0, rows_.context_rows_S), rows_.layout, options(layer));
  }

 private:
  Rows rows_;
};

class PagedDecode final : public PagedAttention {
 public:
  PagedDecode(const model::ModelConfig& config, const PagePool& pool, at::Tensor new_rows_B, ops::PagedBatch batch)
      : PagedAttention(config, pool), new_rows_B_(std::move(new_rows_B)), batch_(std::move(batch)) {}

  at::Tensor attend(int64_t layer, const at::Tensor& q_BNH, const at::Tensor& k_BKH, const at::Tensor& v_BKH) override {
    const at::Tensor keys = pool_.keys(layer), values = pool_.values(layer);
    ops::write_rows(keys, values, new_rows_B_, k_BKH, v_BKH);
    return ops::paged_attention(q_BNH, keys, values, batch_, options(layer));
  }

 private:
  at::Tensor new_rows_B_;
  ops::PagedBatch batch_;
};

// What a decode step reads, in one tensor so that it is one copy: [4 + W, B] int64, of which the uniform numbers are
// f64; and what it writes: [2, B] f64.
struct DecodeBuffers {
  at::Tensor in_host, in, out_host, out;

  DecodeBuffers(int64_t batch, int64_t width, at::Device device) {
    const auto host = at::TensorOptions().dtype(at::kLong).pinned_memory(device.is_cuda());
    in_host = at::zeros({4 + width, batch}, host);
    in = at::zeros({4 + width, batch}, at::TensorOptions().dtype(at::kLong).device(device));
    out_host = at::zeros({2, batch}, host.dtype(at::kDouble));
    out = at::zeros({2, batch}, in.options().dtype(at::kDouble));
  }

  static at::Tensor ids(const at::Tensor& in) { return in.select(0, 0); }
  static at::Tensor positions(const at::Tensor& in) { return in.select(0, 1); }
  static at::Tensor rows(const at::Tensor& in) { return in.select(0, 2); }
  static at::Tensor uniforms(const at::Tensor& in) { return in.select(0, 3).view(at::kDouble); }
  static at::Tensor table(const at::Tensor& in) { return in.slice(0, 4).t(); }
};

// A step of so many rows over so many pages, drawing so.
using StepKind = std::tuple<int64_t, int64_t, double, int64_t, double>;

struct Step {
  DecodeBuffers buffers;
  std::unique_ptr<Recording> recording;  // null: not on a GPU
};

// Few sizes, so that few graphs serve all.
int64_t bucket_of(int64_t count) {
  constexpr int64_t kStep = 64;
  return count <= kStep ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)))
                        : (count + kStep - 1) / kStep * kStep;
}

class PagedRunner final : public ModelRunner {
 public:
  PagedRunner(const model::Decoder& decoder, const model::Weights& weights, const EngineOptions& options)
      : decoder_(decoder),
        weights_(weights),
        device_(weights.embedding.device()),
        pool_(decoder.config(), weights.embedding.scalar_type(), device_, options.kv_cache_mib << 20) {}

  // A GPU's products read the weights as they are; nothing is copied, so recordings stay right when weights change in
  // place.
  void prepare() override {}
  void release() override {}

  int64_t bytes_of(int64_t tokens) const override {
    return (PagePool::pages_for(tokens) + 1) * pool_.page_bytes();  // the first may begin with another's tokens
  }
  int64_t used_bytes() const override { return pool_.num_used() * pool_.page_bytes(); }

  void complete(KvSequence&) override {}  // attention reads the pages
  int64_t complete_bytes(int64_t) const override { return 0; }

  std::shared_ptr<KvSequence> extend(std::shared_ptr<const KvSequence> before, int64_t capacity) override {
    return std::make_shared<PagedSequence>(pool_, static_cast<const PagedSequence*>(before.get()), capacity);
  }

  at::Tensor prefill(const std::vector<std::shared_ptr<KvSequence>>& sequences,
                     const std::vector<std::vector<TokenId>>& tokens) override {
    std::vector<int64_t> ids, positions, new_rows, context_rows;
    std::vector<ops::VarlenSequence> lengths;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const PagedSequence& sequence = paged(*sequences[i]);
      const int64_t before = sequence.num_tokens(), end = before + std::ssize(tokens[i]);
      for (int64_t p = 0; p < end; ++p) context_rows.push_back(sequence.row(p));
      for (int64_t p = before; p < end; ++p) positions.push_back(p);
      new_rows.insert(new_rows.end(), context_rows.end() - (end - before), context_rows.end());
      ids.insert(ids.end(), tokens[i].begin(), tokens[i].end());
      lengths.push_back({end - before, end});
    }
    PagedPrefill attention(
        decoder_.config(), pool_,
        {index_tensor(new_rows), index_tensor(context_rows), ops::make_varlen_layout(std::move(lengths), device_)});
    const at::Tensor hidden_TD = decoder_.forward(weights_, index_tensor(ids), index_tensor(positions), attention);
    for (size_t i = 0; i < sequences.size(); ++i) paged(*sequences[i]).add_tokens(std::ssize(tokens[i]));
    return hidden_TD;
  }

  at::Tensor logits(const at::Tensor& hidden_TD, const std::vector<int64_t>& rows) override {
    return decoder_.logits(weights_, hidden_TD.index_select(0, index_tensor(rows)));
  }

  std::vector<SampledToken> sample(const at::Tensor& logits_BV, const SamplingOptions& sampling,
                                   std::span<const core::RandomKey> keys,
                                   std::span<const uint32_t> positions) override {
    std::vector<double> uniforms;
    for (size_t i = 0; i < keys.size(); ++i) uniforms.push_back(core::random_uniform(keys[i], positions[i]));
    const at::Tensor drawn = draw(logits_BV, sampling, at::tensor(uniforms, at::kDouble).to(device_)).cpu();
    return tokens_of(drawn, keys);
  }

  std::vector<SampledToken> decode(std::span<const DecodeRow> rows, const SamplingOptions& sampling) override {
    int64_t pages = 1;
    for (const DecodeRow& row : rows) pages = std::max(pages, std::ssize(paged(*row.sequence).pages()));
    Step& step = step_for(bucket_of(std::ssize(rows)), bucket_of(pages), sampling);
    fill(step.buffers, rows);
    step.buffers.in.copy_(step.buffers.in_host, /*non_blocking=*/true);
    if (device_.is_cuda() && (weights_.loader == nullptr || weights_.loader->holds_all())) {
      if (step.recording == nullptr)
        step.recording = record(device_, recording_pool_, [&] { compute(step.buffers, sampling); });
      step.recording->replay();
    } else {
      compute(step.buffers, sampling);
    }
    step.buffers.out_host.copy_(step.buffers.out);  // waits
    std::vector<core::RandomKey> keys;
    for (const DecodeRow& row : rows) {
      paged(*row.sequence).add_tokens(1);
      keys.push_back(row.key);
    }
    return tokens_of(step.buffers.out_host.narrow(1, 0, std::ssize(rows)), keys);
  }

 private:
  at::Tensor index_tensor(const std::vector<int64_t>& values) const {
    return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(device_);
  }

  Step& step_for(int64_t batch, int64_t width, const SamplingOptions& sampling) {
    const int64_t weights_generation = weights_.loader != nullptr ? weights_.loader->generation() : 0;
    if (pool_generation_ != pool_.generation() || weights_generation_ != weights_generation) {
      steps_.clear();  // what the recordings read lies elsewhere now
      // With its last recording a pool is gone for good.
      if (device_.is_cuda()) recording_pool_ = new_recording_pool();
    }
    pool_generation_ = pool_.generation();
    weights_generation_ = weights_generation;
    const StepKind kind = {batch, width, sampling.temperature, sampling.top_k, sampling.top_p};
    const auto found = steps_.find(kind);
    return found != steps_.end()
               ? found->second
               : steps_.emplace(kind, Step{DecodeBuffers(batch, width, device_), nullptr}).first->second;
  }

  // Rows of the bucket that stand for no sequence compute token 0 at position 0, in page 0.
  static void fill(DecodeBuffers& buffers, std::span<const DecodeRow> rows) {
    buffers.in_host.zero_();
    const int64_t batch = buffers.in_host.size(1);
    auto* ids = buffers.in_host.mutable_data_ptr<int64_t>();
    int64_t *positions = ids + batch, *new_rows = ids + 2 * batch, *table = ids + 4 * batch;
    auto* uniforms = reinterpret_cast<double*>(ids + 3 * batch);
    for (size_t b = 0; b < rows.size(); ++b) {
      const PagedSequence& sequence = paged(*rows[b].sequence);
      ids[b] = rows[b].last_id;
      positions[b] = sequence.num_tokens();
      new_rows[b] = sequence.row(sequence.num_tokens());
      uniforms[b] = core::random_uniform(rows[b].key, rows[b].draw);
      for (size_t w = 0; w < sequence.pages().size(); ++w)
        table[static_cast<int64_t>(w) * batch + static_cast<int64_t>(b)] = sequence.pages()[w];
    }
  }

  // Everything between the two copies of a step.
  void compute(const DecodeBuffers& buffers, const SamplingOptions& sampling) {
    const at::Tensor& in = buffers.in;
    const at::Tensor positions = DecodeBuffers::positions(in);
    PagedDecode attention(decoder_.config(), pool_, DecodeBuffers::rows(in),
                          {DecodeBuffers::table(in), positions, kPageTokens});
    const at::Tensor hidden_BD = decoder_.forward(weights_, DecodeBuffers::ids(in), positions, attention);
    at::Tensor out = buffers.out;
    out.copy_(draw(decoder_.logits(weights_, hidden_BD), sampling, DecodeBuffers::uniforms(in)));
  }

  // Ids and log-probabilities, [2, B] f64: an id fits.
  static at::Tensor draw(const at::Tensor& logits_BV, const SamplingOptions& sampling, const at::Tensor& uniforms_B) {
    const bool greedy = sampling.temperature == 0;
    const ops::LogprobTransform transform =
        greedy ? ops::LogprobTransform{} : ops::LogprobTransform{sampling.temperature, sampling.top_k, sampling.top_p};
    const ops::SampledRows sampled = ops::sample_rows(logits_BV, transform, greedy, uniforms_B);
    return at::stack({sampled.ids_B.to(at::kDouble), sampled.logprob_B.to(at::kDouble)});
  }

  static std::vector<SampledToken> tokens_of(const at::Tensor& drawn_2B, std::span<const core::RandomKey> keys) {
    const at::Tensor drawn = drawn_2B.contiguous();
    const auto batch = static_cast<int64_t>(keys.size());
    const auto* ids = drawn.const_data_ptr<double>();
    std::vector<SampledToken> tokens;
    for (int64_t b = 0; b < batch; ++b) {
      if (std::isnan(ids[batch + b])) throw logits_not_finite(b, keys[static_cast<size_t>(b)]);
      tokens.push_back({static_cast<TokenId>(ids[b]), static_cast<float>(ids[batch + b])});
    }
    return tokens;
  }

  const model::Decoder& decoder_;
  const model::Weights& weights_;
  at::Device device_;
  PagePool pool_;
  int64_t pool_generation_ = -1, weights_generation_ = -1;
  RecordingPool recording_pool_;  // of the recordings in steps_
  std::map<StepKind, Step> steps_;
};

}  // namespace

std::unique_ptr<ModelRunner> make_paged_runner(const model::Decoder& decoder, const model::Weights& weights,
                                               const EngineOptions& options) {
  return std::make_unique<PagedRunner>(decoder, weights, options);
}

}  // namespace thinktune::infer
