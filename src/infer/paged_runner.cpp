// Letters: B sequences of a decode step (those of the bucket), T new tokens of a prefill, W pages of a sequence's
// table.
#include <ATen/ATen.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

#include "infer/copies.h"
#include "infer/decode_inputs.h"
#include "infer/paged_sequence.h"
#include "infer/recording.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/model_runner.h"
#include "thinktune/ops/device.h"
#include "thinktune/ops/paged_attention.h"
#include "thinktune/ops/sample_rows.h"
#include "thinktune/ops/varlen_attention.h"

namespace thinktune::infer {
namespace {

constexpr int64_t kPageTokens = PagePool::kPageTokens;

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

// A step of so many rows over so many pages, drawing so.
using StepKind = std::tuple<int64_t, int64_t, double, int64_t, double>;

struct Step {
  DecodeInputs inputs;
  std::shared_ptr<const RecordingPool> recording_pool;
  std::unique_ptr<Recording> recording;  // null: none, or none yet
};
using Steps = std::map<StepKind, Step>;

// What runners have in common that compute one after the other, each with its own weights.
struct PagedMemory {
  PagePool pages;
  std::vector<std::weak_ptr<Steps>> steps;        // of each runner
  std::weak_ptr<const RecordingPool> recordings;  // of all steps: with its last recording a pool is gone for good
};

// What is drawn, on the device and then on the host: [2, B] int32, ids and the bits of f32 log-probabilities.
std::vector<SampledToken> tokens_of(const at::Tensor& drawn_2B, std::span<const core::RandomKey> keys) {
  const auto* ids = drawn_2B.const_data_ptr<int32_t>();
  const auto* logprobs = reinterpret_cast<const float*>(ids + drawn_2B.size(1));
  std::vector<SampledToken> tokens;
  for (size_t b = 0; b < keys.size(); ++b) {
    if (std::isnan(logprobs[b])) throw LogitsNotFinite(static_cast<int64_t>(b), keys[b]);
    tokens.push_back({ids[b], logprobs[b]});
  }
  return tokens;
}

class CopiedStep final : public StartedStep {
 public:
  CopiedStep(at::Tensor drawn_2B, std::vector<core::RandomKey> keys, std::unique_ptr<Arrival> arrival)
      : drawn_2B_(std::move(drawn_2B)), keys_(std::move(keys)), arrival_(std::move(arrival)) {}
  std::vector<SampledToken> take() override {
    arrival_->wait();
    return tokens_of(drawn_2B_, keys_);
  }

 private:
  at::Tensor drawn_2B_;
  std::vector<core::RandomKey> keys_;
  std::unique_ptr<Arrival> arrival_;
};

class PagedRunner final : public ModelRunner {
 public:
  PagedRunner(const model::Decoder& decoder, const model::Weights& weights, bool cuda_graphs,
              std::shared_ptr<PagedMemory> memory)
      : decoder_(decoder),
        weights_(weights),
        device_(weights.embedding.device()),
        records_(device_.is_cuda() && cuda_graphs),
        memory_(std::move(memory)),
        pool_(memory_->pages),
        copies_(make_copies(device_)) {
    const auto on_device = at::TensorOptions().dtype(at::kLong).device(device_);
    for (int64_t t = 0; t < 2; ++t) turns_[static_cast<size_t>(t)] = at::full({1}, t, on_device);
    turn_1_ = at::zeros({1}, on_device);
    memory_->steps.push_back(steps_);
  }

  // A GPU's products read the weights as they are; nothing is copied, so recordings stay right when weights change in
  // place. The pages stay too: recordings read them where they lie, and what is freed for the update and taken again
  // may be in pieces by then.
  void prepare() override {}
  void release() override {}

  KvSizes sizes() const override { return {decoder_.config(), weights_.embedding.scalar_type(), /*in_pages=*/true}; }
  int64_t used_bytes() const override { return pool_.num_used() * pool_.page_bytes(); }

  void complete(KvSequence&) override {}  // attention reads the pages

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
    const auto batch = std::ssize(keys);
    const at::Tensor counters = host_tensor({kCounterRows, batch}, at::kLong, device_);
    put_counters(counters, keys, positions);
    const ops::SampledRows drawn = draw(logits_BV, sampling, counters_of(counters.to(device_, /*non_blocking=*/true)));
    return tokens_of(at::stack({drawn.ids_B, drawn.logprob_B.view(at::kInt)}).cpu(), keys);
  }

  std::unique_ptr<ModelRunner> beside(const model::Weights& weights) const override {
    TT_CHECK(
        weights.embedding.device() == device_ && weights.embedding.scalar_type() == weights_.embedding.scalar_type(),
        "weights beside others, of another dtype or on another device");
    return std::make_unique<PagedRunner>(decoder_, weights, records_, memory_);
  }

  // Of all runners: the memory of recordings is free again when the last of them is gone.
  void free_steps() override {
    for (const std::weak_ptr<Steps>& of_a_runner : memory_->steps)
      if (const std::shared_ptr<Steps> steps = of_a_runner.lock()) steps->clear();
    drawn_ = at::Tensor();
  }

  int64_t steps_ahead() const override { return 1; }

  std::unique_ptr<StartedStep> decode(std::span<const DecodeRow> rows, const SamplingOptions& sampling) override {
    int64_t pages = 1;
    for (const DecodeRow& row : rows) pages = std::max(pages, std::ssize(paged(*row.sequence).pages()));
    const int64_t batch = bucket_of(std::ssize(rows));
    make_room_for(batch);
    Step& step = step_for(batch, bucket_of(pages), sampling);
    turn_ = 1 - turn_;
    DecodeInputs::fill(step.inputs.host[turn_], rows);
    copies_->to_device(step.inputs.device.select(0, static_cast<int64_t>(turn_)), step.inputs.host[turn_]);
    turn_1_.copy_(turns_[turn_]);
    const bool there = weights_.loader == nullptr || weights_.loader->holds_all();
    if (records_ && there) {
      if (step.recording == nullptr) make_recording(step, sampling);
      step.recording->replay();
    } else {
      if (records_)
        say_once(
            "decode steps are launched kernel by kernel: weights that come together layer by layer "
            "cannot be recorded as a CUDA graph");
      compute(step.inputs, sampling);
    }
    std::vector<core::RandomKey> keys;
    for (const DecodeRow& row : rows) {
      paged(*row.sequence).add_tokens(1);
      keys.push_back(row.key);
    }
    const at::Tensor& on_host = drawn_on_host_[turn_];
    return std::make_unique<CopiedStep>(on_host, std::move(keys),
                                        copies_->to_host(on_host, drawn_.select(0, static_cast<int64_t>(turn_))));
  }

 private:
  // Pinned and not waited for: LibTorch keeps a pinned tensor's memory until its copies are over.
  at::Tensor index_tensor(const std::vector<int64_t>& values) const {
    const at::Tensor host = host_tensor({std::ssize(values)}, at::kLong, device_);
    std::copy(values.begin(), values.end(), host.mutable_data_ptr<int64_t>());
    return host.to(device_, /*non_blocking=*/true);
  }

  // What steps of all sizes draw, of two turns: the next step reads the one before's.
  void make_room_for(int64_t batch) {
    if (drawn_.defined() && drawn_.size(2) >= batch) return;
    const at::Tensor larger = at::zeros({2, 2, batch}, at::TensorOptions().dtype(at::kInt).device(device_));
    if (drawn_.defined()) larger.narrow(2, 0, drawn_.size(2)).copy_(drawn_);
    drawn_ = larger;
    for (at::Tensor& on_host : drawn_on_host_) on_host = host_tensor({2, batch}, at::kInt, device_);
    copies_->follow();
    steps_->clear();
  }

  void say_once(const char* text) {
    if (!said_) spdlog::warn("{}", text);
    said_ = true;
  }

  void make_recording(Step& step, const SamplingOptions& sampling) {
    step.recording_pool = memory_->recordings.lock();
    if (step.recording_pool == nullptr)
      memory_->recordings = step.recording_pool = std::make_shared<const RecordingPool>(new_recording_pool());
    try {
      step.recording = record(device_, *step.recording_pool, [&] { compute(step.inputs, sampling); });
    } catch (const c10::Error& error) {
      if (ops::is_out_of_memory(error)) throw;
      throw core::device_error(
          fmt::format("a decode step could not be recorded as a CUDA graph ({})", error.what_without_backtrace()),
          "engine.cuda_graphs=false goes on without; please report it");
    }
  }

  Step& step_for(int64_t batch, int64_t width, const SamplingOptions& sampling) {
    const int64_t weights_generation = weights_.loader != nullptr ? weights_.loader->generation() : 0;
    if (pool_generation_ != pool_.generation() || weights_generation_ != weights_generation)
      steps_->clear();  // what the recordings read lies elsewhere now
    pool_generation_ = pool_.generation();
    weights_generation_ = weights_generation;
    const StepKind kind = {batch, width, sampling.temperature, sampling.top_k, sampling.top_p};
    const auto found = steps_->find(kind);
    if (found != steps_->end()) return found->second;
    Step& step = steps_->emplace(kind, Step{DecodeInputs(batch, width, device_), nullptr, nullptr}).first->second;
    copies_->follow();
    return step;
  }

  // Everything between the two copies of a step. Run twice, it does the same as once: it reads this turn's inputs and
  // what the other turn has drawn, and writes this turn's tokens.
  void compute(const DecodeInputs& inputs, const SamplingOptions& sampling) {
    const at::Tensor in = inputs.device.index_select(0, turn_1_).squeeze(0);
    const at::Tensor before_B = drawn_.index_select(0, 1 - turn_1_).select(1, 0).squeeze(0);
    const at::Tensor rows_before = DecodeInputs::rows_before(in);
    // An id that was drawn from what is not finite is −1: the step is computed in vain, with a token that there is.
    const at::Tensor drawn_before = before_B.index_select(0, rows_before.clamp_min(0)).clamp_min(0).to(at::kLong);
    const at::Tensor ids = at::where(rows_before < 0, DecodeInputs::ids(in), drawn_before);
    const at::Tensor positions = DecodeInputs::positions(in);
    PagedDecode attention(
        decoder_.config(), pool_, DecodeInputs::rows(in),
        {DecodeInputs::table(in).to(at::kInt).contiguous(), (positions + 1).to(at::kInt), kPageTokens});
    const at::Tensor hidden_BD = decoder_.forward(weights_, ids, positions, attention);
    const ops::SampledRows drawn =
        draw(decoder_.logits(weights_, hidden_BD), sampling, counters_of(DecodeInputs::counters(in)));
    const ops::FreeOrder free_order;  // one place: nothing is written twice
    drawn_.narrow(2, 0, ids.size(0))
        .index_copy_(0, turn_1_, at::stack({drawn.ids_B, drawn.logprob_B.view(at::kInt)}).unsqueeze(0));
  }

  static ops::SampledRows draw(const at::Tensor& logits_BV, const SamplingOptions& sampling,
                               const ops::DrawCounters& counters) {
    const bool greedy = sampling.temperature == 0;
    const ops::LogprobTransform transform =
        greedy ? ops::LogprobTransform{} : ops::LogprobTransform{sampling.temperature, sampling.top_k, sampling.top_p};
    return ops::sample_rows(logits_BV, transform, greedy, counters);
  }

  const model::Decoder& decoder_;
  const model::Weights& weights_;
  at::Device device_;
  bool records_, said_ = false;
  std::shared_ptr<PagedMemory> memory_;
  PagePool& pool_;
  std::unique_ptr<Copies> copies_;
  int64_t pool_generation_ = -1, weights_generation_ = -1;
  std::shared_ptr<Steps> steps_ = std::make_shared<Steps>();
  // Steps alternate between two places of what they read and draw.
  size_t turn_ = 0;
  std::array<at::Tensor, 2> turns_;  // on the device, [1] int64: 0 and 1
  at::Tensor turn_1_;                // the one of the step that is computed, where recordings read it
  at::Tensor drawn_;                 // [2, 2, B of the largest step]
  std::array<at::Tensor, 2> drawn_on_host_;
};

}  // namespace

std::unique_ptr<ModelRunner> make_paged_runner(const model::Decoder& decoder, const model::Weights& weights,
                                               const EngineOptions& options) {
  auto memory = std::make_shared<PagedMemory>(
      PagedMemory{.pages = {decoder.config(), weights.embedding.scalar_type(), weights.embedding.device(),
                            options.kv_cache_mib << 20, options.reserved_tokens},
                  .steps = {},
                  .recordings = {}});
  return std::make_unique<PagedRunner>(decoder, weights, options.cuda_graphs, std::move(memory));
}

}  // namespace thinktune::infer
