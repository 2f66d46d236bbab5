#include "thinktune/infer/engine.h"

#include <c10/core/GradMode.h>

#include "infer/engine_state.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"

namespace thinktune::infer {
namespace {

bool starts_with(const std::vector<TokenId>& ids, const std::vector<TokenId>& prefix) {
  return ids.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
}

int64_t mib(int64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

}  // namespace

void Engine::State::refuse_memory(int64_t prompt_tokens, int64_t new_tokens, int64_t bytes) const {
  const int64_t kept_bytes = runner->used_bytes();
  throw core::user_error(
      fmt::format("the keys and values of a prompt of {} tokens and {} behind it take {} MiB ({} of them kept for "
                  "prompts that begin alike), the limit is {} MiB",
                  prompt_tokens, new_tokens, mib(kept_bytes + bytes), mib(kept_bytes), options.kv_cache_mib),
      "raise engine.kv_cache_mib (eval: --kv-cache-mib), or take a shorter prompt or fewer tokens behind it");
}

std::shared_ptr<KvSequence> Engine::State::extend(const std::shared_ptr<KvSequence>& before, int64_t capacity) {
  auto sequence = runner->extend(before, capacity);
  stats.kv_peak_bytes = std::max(stats.kv_peak_bytes, runner->used_bytes());
  return sequence;
}

at::Tensor Engine::State::prefill(const std::vector<std::shared_ptr<KvSequence>>& sequences,
                                  const std::vector<std::vector<TokenId>>& tokens) {
  const ops::ProfilerRange range("prefill");
  int64_t rows = 0;
  for (const std::vector<TokenId>& ids : tokens) rows += std::ssize(ids);
  stats.prompt_tokens += rows;
  ++stats.prefill_passes[rows];
  return runner->prefill(sequences, tokens);
}

void Engine::State::compute(Prefix& prefix) {
  if (prefix.ids.empty()) return;
  const std::shared_ptr<KvSequence> sequence = extend(nullptr, std::ssize(prefix.ids));
  prefill({sequence}, {prefix.ids});
  prefix.computed = sequence;
}

Prefix Engine::State::common_prefix(const std::vector<const std::vector<TokenId>*>& prompts) const {
  constexpr size_t kWorthwhile = 16;  // tokens
  std::vector<const std::vector<TokenId>*> others;
  for (const auto* prompt : prompts)
    if (!uses_held(*prompt)) others.push_back(prompt);
  if (others.size() < 2) return {};
  size_t common = others[0]->size() - 1;
  for (const auto* prompt : others) {
    common = std::min(common, prompt->size() - 1);
    common = static_cast<size_t>(
        std::mismatch(others[0]->begin(), others[0]->begin() + static_cast<std::ptrdiff_t>(common), prompt->begin())
            .first -
        others[0]->begin());
  }
  if (common < kWorthwhile) return {};
  return {{others[0]->begin(), others[0]->begin() + static_cast<std::ptrdiff_t>(common)}, nullptr};
}

bool Engine::State::uses_held(const std::vector<TokenId>& prompt) const {
  return held.computed != nullptr && prompt.size() > held.ids.size() && starts_with(prompt, held.ids);
}

Engine::Engine(const model::Decoder& decoder, const model::Weights& weights, const text::Tokenizer& tokenizer,
               EngineOptions options)
    : state_(new State{decoder, weights, tokenizer, options, nullptr, {}, {}, {}}) {
  validate(options);
  state_->runner =
      weights.embedding.is_cpu() ? make_cpu_runner(decoder, weights) : make_paged_runner(decoder, weights, options);
}

Engine::Engine(const model::Decoder& decoder, const model::Weights& weights, const text::Tokenizer& tokenizer,
               EngineOptions options, std::unique_ptr<ModelRunner> runner)
    : state_(new State{decoder, weights, tokenizer, options, std::move(runner), {}, {}, {}}) {
  validate(options);
}

Engine::Engine(const Engine& other, const model::Weights& weights)
    : Engine(other.state_->decoder, weights, other.state_->tokenizer, other.state_->options,
             other.state_->runner->beside(weights)) {}

Engine::~Engine() = default;

void Engine::before_each_round(std::function<void()> callback) { state_->before_each_round = std::move(callback); }
int64_t Engine::max_sequences() const { return state_->options.max_sequences; }
void Engine::set_max_sequences(int64_t count) {
  TT_CHECK(count >= 1, "{} sequences at a time", count);
  state_->options.max_sequences = count;
  state_->runner->free_steps();  // steps of another size come now
}

int64_t Engine::kept_bytes() const { return state_->runner->used_bytes(); }
const EngineStats& Engine::stats() const { return state_->stats; }
void Engine::reset_stats() { state_->stats = {}; }

void Engine::hold_prefix(const std::vector<TokenId>& ids) {
  c10::NoGradGuard no_grad;
  state_->held = {};
  if (ids.empty()) return;
  state_->runner->prepare();
  Prefix prefix = {.ids = ids, .computed = nullptr};
  state_->compute(prefix);
  state_->held = std::move(prefix);
}

bool Engine::holds_prefix() const { return state_->held.computed != nullptr; }

void Engine::release() {
  state_->held = {};
  state_->runner->release();
}

}  // namespace thinktune::infer
