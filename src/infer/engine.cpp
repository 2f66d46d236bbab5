#include "thinktune/infer/engine.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <deque>

#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/model_runner.h"
#include "thinktune/infer/sample_token.h"
#include "thinktune/ops/device.h"

namespace thinktune::infer {
namespace {

bool starts_with(const std::vector<TokenId>& ids, const std::vector<TokenId>& prefix) {
  return ids.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
}

int64_t mib(int64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

// Tokens that a prompt of the call is behind: computed once, before the prompts themselves.
struct Prefix {
  std::vector<TokenId> ids;
  std::shared_ptr<KvSequence> computed;
};

// A sample that is being decoded.
struct Slot {
  size_t request = 0;
  uint32_t sample = 0;
  std::shared_ptr<KvSequence> sequence;
  Generation generation;
  std::string tail;  // decoded text, only kept when there are stop texts
  int64_t row = -1;  // in the last step that was started, while its token has not come
  bool ended = false;

  int64_t num_tokens() const { return std::ssize(generation.ids) + (row >= 0 ? 1 : 0); }  // with the one to come
};
using SlotPtr = std::shared_ptr<Slot>;

// A prompt that has been computed and whose samples enter the slots.
struct ReadyPrompt {
  size_t request = 0;
  uint32_t next_sample = 0;
  std::shared_ptr<KvSequence> computed;
  at::Tensor logits_V;  // behind the prompt's last token
};

}  // namespace

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

  std::shared_ptr<KvSequence> extend(const std::shared_ptr<KvSequence>& before, int64_t capacity) {
    auto sequence = runner->extend(before, capacity);
    stats.kv_peak_bytes = std::max(stats.kv_peak_bytes, runner->used_bytes());
    return sequence;
  }

  bool has_room(int64_t bytes) const { return runner->used_bytes() + bytes <= limit_bytes(); }

  bool ends_turn(TokenId id) const {
    if (options.ignore_eos) return false;
    const auto& ids = config().end_of_turn_ids;
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  }

  // Computes the tokens of each sequence behind it; returns their hidden states, flat.
  at::Tensor prefill(const std::vector<std::shared_ptr<KvSequence>>& sequences,
                     const std::vector<std::vector<TokenId>>& tokens) {
    const ops::ProfilerRange range("prefill");
    int64_t rows = 0;
    for (const std::vector<TokenId>& ids : tokens) rows += std::ssize(ids);
    stats.prompt_tokens += rows;
    ++stats.prefill_passes[rows];
    return runner->prefill(sequences, tokens);
  }

  void compute(Prefix& prefix) {
    if (prefix.ids.empty()) return;
    const std::shared_ptr<KvSequence> sequence = extend(nullptr, std::ssize(prefix.ids));
    prefill({sequence}, {prefix.ids});
    prefix.computed = sequence;
  }

  // What the prompts that do not begin with the held prefix have in common, one token short of the shortest of them.
  Prefix common_prefix(const std::vector<const std::vector<TokenId>*>& prompts) const {
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

  bool uses_held(const std::vector<TokenId>& prompt) const {
    return held.computed != nullptr && prompt.size() > held.ids.size() && starts_with(prompt, held.ids);
  }

  const Prefix& prefix_of(const std::vector<TokenId>& prompt, const Prefix& common) const {
    return uses_held(prompt) ? held : common;
  }

  // Room for the prompt's own tokens behind its prefix, and those tokens.
  std::shared_ptr<KvSequence> begin(const std::vector<TokenId>& prompt, const Prefix& prefix, int64_t extra,
                                    std::vector<TokenId>& rest) {
    rest.assign(prompt.begin() + std::ssize(prefix.ids), prompt.end());
    return extend(prefix.computed, std::ssize(rest) + extra);
  }

  // Computes the next waiting prompts until they give `wanted` samples, the token limit of a prefill is reached, or the
  // next one does not fit into memory together with one sample of any of them.
  void prefill_prompts(const std::vector<Request>& requests, const Prefix& common, size_t& next_request, int64_t wanted,
                       std::deque<ReadyPrompt>& ready) {
    std::vector<std::shared_ptr<KvSequence>> sequences;
    std::vector<std::vector<TokenId>> tokens;
    std::vector<int64_t> last_rows;
    const size_t first = next_request;
    const KvSizes sizes = runner->sizes();
    int64_t rows = 0, longest_sample = 0, tiles_bytes = 0;
    while (next_request < requests.size() && wanted > 0 && (rows == 0 || rows < options.prefill_tokens)) {
      const Request& request = requests[next_request];
      longest_sample = std::max(longest_sample, request.max_new_tokens);
      const int64_t own = std::ssize(request.prompt_ids) - std::ssize(prefix_of(request.prompt_ids, common).ids);
      const int64_t all_tiles_bytes = tiles_bytes + sizes.tiles(std::ssize(request.prompt_ids));
      if (!has_room(sizes.rows(own) + sizes.rows(longest_sample) + all_tiles_bytes)) break;
      tiles_bytes = all_tiles_bytes;
      sequences.push_back(begin(request.prompt_ids, prefix_of(request.prompt_ids, common), 0, tokens.emplace_back()));
      rows += std::ssize(tokens.back());
      last_rows.push_back(rows - 1);
      wanted -= request.num_samples;
      ++next_request;
    }
    if (sequences.empty()) return;
    const at::Tensor logits = runner->logits(prefill(sequences, tokens), last_rows);
    for (size_t i = 0; i < sequences.size(); ++i) {
      runner->complete(*sequences[i]);
      ReadyPrompt& prompt = ready.emplace_back();
      prompt.request = first + i;
      prompt.computed = sequences[i];
      prompt.logits_V = logits[static_cast<int64_t>(i)];
    }
  }

  // Scores the requests from `next` on that go into one prefill, and into memory, and moves `next` behind them: a pass
  // for their prompts, and one for what the continuations have before their last tokens, which predict nothing.
  void score_some(const std::vector<ScoreRequest>& requests, const Prefix& common, size_t& next,
                  std::vector<std::vector<std::vector<float>>>& scores) {
    const size_t first = next;
    std::vector<std::shared_ptr<KvSequence>> prompts, behind;
    std::vector<std::vector<TokenId>> prompt_tokens, behind_tokens;
    const KvSizes sizes = runner->sizes();
    int64_t rows = 0, behind_bytes = 0;
    for (; next < requests.size() && (rows == 0 || rows < options.prefill_tokens); ++next) {
      const ScoreRequest& request = requests[next];
      const Prefix& prefix = prefix_of(request.prompt_ids, common);
      const int64_t own = std::ssize(request.prompt_ids) - std::ssize(prefix.ids);
      int64_t own_behind = 0, all_behind_bytes = behind_bytes;
      for (const std::vector<TokenId>& continuation : request.continuations) {
        own_behind += std::max<int64_t>(0, std::ssize(continuation) - 1);
        all_behind_bytes += sizes.rows(std::ssize(continuation) - 1);
      }
      const int64_t bytes = sizes.rows(own) + all_behind_bytes;
      if (!has_room(bytes)) {
        if (rows == 0) refuse_memory(std::ssize(request.prompt_ids), own_behind, bytes);
        break;
      }
      rows += own + own_behind;
      behind_bytes = all_behind_bytes;
      prompts.push_back(begin(request.prompt_ids, prefix, 0, prompt_tokens.emplace_back()));
    }
    at::Tensor hidden_TD = prefill(prompts, prompt_tokens);
    for (size_t r = first; r < next; ++r)
      for (const std::vector<TokenId>& continuation : requests[r].continuations) {
        if (continuation.size() < 2) continue;
        behind.push_back(extend(prompts[r - first], std::ssize(continuation) - 1));
        behind_tokens.emplace_back(continuation.begin(), continuation.end() - 1);
      }
    int64_t prompt_end = 0, behind_end = hidden_TD.size(0);
    if (!behind.empty()) hidden_TD = at::cat({hidden_TD, prefill(behind, behind_tokens)});

    std::vector<int64_t> predicting, targets;  // rows, and what they predict
    for (size_t r = first; r < next; ++r) {
      prompt_end += std::ssize(prompt_tokens[r - first]);
      for (const std::vector<TokenId>& continuation : requests[r].continuations)
        for (size_t i = 0; i < continuation.size(); ++i) {
          predicting.push_back(i == 0 ? prompt_end - 1 : behind_end++);
          targets.push_back(continuation[i]);
        }
    }
    if (targets.empty()) return;
    const auto on_device = [&](const std::vector<int64_t>& values) {
      return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(hidden_TD.device());
    };
    const at::Tensor logprobs =
        decoder.token_logprob(weights, hidden_TD.index_select(0, on_device(predicting)), on_device(targets), {})
            .logprob_T.to(at::kCPU, at::kFloat);
    const auto* logprob = logprobs.const_data_ptr<float>();
    for (size_t r = first; r < next; ++r)
      for (size_t c = 0; c < requests[r].continuations.size(); ++c) {
        const auto count = std::ssize(requests[r].continuations[c]);
        scores[r][c].assign(logprob, logprob + count);
        logprob += count;
      }
  }

  // Adds a token to the slot's sequence; true if the sequence ends with it.
  bool append(Slot& slot, const Request& request, const SampledToken& token) const {
    slot.generation.ids.push_back(token.id);
    slot.generation.logprobs.push_back(token.logprob);
    if (request.on_token) request.on_token(slot.sample, token.id);
    if (ends_turn(token.id)) {
      slot.generation.stop = Stop::EndOfTurn;
      return true;
    }
    if (!request.stop_texts.empty()) {
      const size_t before = slot.tail.size();
      slot.tail += tokenizer.token_bytes(token.id);
      for (const std::string& stop : request.stop_texts) {
        if (slot.tail.find(stop, before - std::min(before, stop.size())) == std::string::npos) continue;
        slot.generation.stop = Stop::StopText;
        return true;
      }
    }
    slot.generation.stop = Stop::Length;
    return std::ssize(slot.generation.ids) >= request.max_new_tokens;
  }

  void check(const Request& request) const {
    TT_CHECK(!request.prompt_ids.empty() && request.num_samples >= 1 && request.max_new_tokens >= 1,
             "a request needs a prompt, at least one sample and at least one new token");
    for (const TokenId id : request.prompt_ids)
      if (id < 0 || id >= config().vocab_size)
        throw core::data_error(
            fmt::format("a prompt holds the token {} ({}), for which the model's embedding of {} rows has none", id,
                        tokenizer.token_text(id), config().vocab_size),
            "leave it out of the prompt or the chat template");
    const int64_t tokens = std::ssize(request.prompt_ids) + request.max_new_tokens;
    if (tokens > model::max_tokens(config()))
      throw core::user_error(
          fmt::format("a prompt of {} tokens and {} new ones exceed the model's {} positions",
                      request.prompt_ids.size(), request.max_new_tokens, model::max_tokens(config())),
          "lower rollout.max_new_tokens (generate: --max-new-tokens), eval.max_new_tokens or prompt.max_prompt_tokens");
  }

  int64_t bytes_of_one(const Request& request) const {
    const int64_t held_tokens = uses_held(request.prompt_ids) ? std::ssize(held.ids) : 0;
    return runner->sizes().sample(std::ssize(request.prompt_ids), request.max_new_tokens, held_tokens);
  }

  // What the others have in common lies there too while prompts are computed that begin with the held prefix.
  bool has_room_beside(const Prefix& common, const std::vector<Request>& requests) const {
    const int64_t common_bytes = runner->sizes().rows(std::ssize(common.ids));
    return std::all_of(requests.begin(), requests.end(), [&](const Request& request) {
      return !uses_held(request.prompt_ids) || has_room(common_bytes + bytes_of_one(request));
    });
  }

  void check_memory(const Request& request) const {
    const int64_t bytes = bytes_of_one(request);
    if (!has_room(bytes)) refuse_memory(std::ssize(request.prompt_ids), request.max_new_tokens, bytes);
  }

  [[noreturn]] void refuse_memory(int64_t prompt_tokens, int64_t new_tokens, int64_t bytes) const {
    const int64_t kept_bytes = runner->used_bytes();
    throw core::user_error(
        fmt::format("the keys and values of a prompt of {} tokens and {} behind it take {} MiB ({} of them kept for "
                    "prompts that begin alike), the limit is {} MiB",
                    prompt_tokens, new_tokens, mib(kept_bytes + bytes), mib(kept_bytes), options.kv_cache_mib),
        "raise engine.kv_cache_mib (eval: --kv-cache-mib), or lower the number of new tokens");
  }
};

// One call of generate().
class Engine::Call {
 public:
  Call(State& state, const std::vector<Request>& requests, const Prefix& common, const SamplingOptions& sampling,
       const core::RandomKey& key)
      : state_(state), requests_(requests), common_(common), sampling_(sampling), key_(key), results_(requests.size()) {
    for (size_t r = 0; r < requests.size(); ++r) results_[r].resize(static_cast<size_t>(requests[r].num_samples));
  }

  bool is_over() const { return !samples_wait() && slots_.empty() && started_.empty(); }
  std::vector<std::vector<Generation>> take_results() { return std::move(results_); }

  // Samples enter free slots as far as there is memory. The first tokens of those that enter together are drawn
  // together, from their prompts' own logits.
  void fill_slots() {
    for (;;) {
      core::Stopwatch watch;
      std::vector<SlotPtr> entering;
      std::vector<at::Tensor> logits;
      while (samples_wait() && num_free_slots() > std::ssize(entering)) {
        if (ready_.empty()) {
          state_.prefill_prompts(requests_, common_, next_request_, num_free_slots() - std::ssize(entering), ready_);
          if (ready_.empty()) break;  // no room until sequences end
        }
        ReadyPrompt& prompt = ready_.front();
        const Request& request = requests_[prompt.request];
        if (!state_.has_room(state_.runner->sizes().rows(request.max_new_tokens))) break;
        const SlotPtr& slot = entering.emplace_back(std::make_shared<Slot>());
        slot->request = prompt.request;
        slot->sample = prompt.next_sample++;
        slot->sequence = state_.extend(prompt.computed, request.max_new_tokens);
        slot->generation.ids.reserve(static_cast<size_t>(request.max_new_tokens));
        slot->generation.logprobs.reserve(static_cast<size_t>(request.max_new_tokens));
        logits.push_back(prompt.logits_V);
        if (prompt.next_sample == request.num_samples) ready_.pop_front();
      }
      if (entering.empty()) {
        state_.stats.prefill_s += watch.seconds();
        return;
      }
      std::vector<core::RandomKey> keys;
      for (const SlotPtr& slot : entering) keys.push_back(key_of(*slot));
      const std::vector<uint32_t> draws(entering.size(), 0);
      const std::vector<SampledToken> tokens = state_.runner->sample(at::stack(logits), sampling_, keys, draws);
      state_.stats.prefill_s += watch.seconds();  // with the draw: a GPU's prefill is waited for there
      for (size_t i = 0; i < entering.size(); ++i) {
        slots_.push_back(entering[i]);
        add_token(*entering[i], tokens[i]);
      }
      leave_ended();
    }
  }

  // Starts a step for all slots that go on, then takes tokens: those of the step before where the device is to go on
  // meanwhile, else its own. A sequence that has ended with the step before is computed once more, in vain.
  void step() {
    const bool goes_on = start_step();
    TT_CHECK(goes_on || !started_.empty(), "sequences wait for memory, and none is running");
    while (std::ssize(started_) > (goes_on ? state_.runner->steps_ahead() : 0)) {
      const Started step = std::move(started_.front());
      started_.pop_front();
      const std::vector<SampledToken> tokens = step.tokens->take();
      for (size_t i = 0; i < step.slots.size(); ++i) {
        Slot& slot = *step.slots[i];
        if (started_.empty()) slot.row = -1;
        if (!slot.ended) add_token(slot, tokens[i]);
      }
    }
    leave_ended();
  }

 private:
  struct Started {
    std::vector<SlotPtr> slots;
    std::unique_ptr<StartedStep> tokens;
  };

  bool samples_wait() const { return next_request_ < requests_.size() || !ready_.empty(); }
  int64_t num_free_slots() const { return state_.options.max_sequences - std::ssize(slots_); }

  core::RandomKey key_of(const Slot& slot) const {
    core::RandomKey key = key_;
    key.prompt = requests_[slot.request].prompt_number;
    key.sample = slot.sample;
    return key;
  }

  // False: no slot has a token to come.
  bool start_step() {
    std::vector<DecodeRow> rows;
    Started step;
    rows.reserve(slots_.size());
    step.slots.reserve(slots_.size());
    for (const SlotPtr& slot : slots_) {
      if (slot->num_tokens() >= requests_[slot->request].max_new_tokens) continue;  // its last one is on its way
      rows.push_back({.sequence = slot->sequence.get(),
                      .last_id = slot->generation.ids.back(),
                      .row_before = slot->row,
                      .key = key_of(*slot),
                      .draw = static_cast<uint32_t>(slot->num_tokens())});
      step.slots.push_back(slot);
    }
    if (rows.empty()) return false;
    const ops::ProfilerRange range("decode step");
    ++state_.stats.decode_passes[std::ssize(rows)];
    step.tokens = state_.runner->decode(rows, sampling_);
    for (size_t i = 0; i < step.slots.size(); ++i) step.slots[i]->row = static_cast<int64_t>(i);
    started_.push_back(std::move(step));
    return true;
  }

  void add_token(Slot& slot, const SampledToken& token) {
    const Request& request = requests_[slot.request];
    slot.ended = state_.append(slot, request, token);
    if (!slot.ended) return;
    state_.stats.generated_tokens += std::ssize(slot.generation.ids);
    Generation& result = results_[slot.request][slot.sample];
    result = std::move(slot.generation);
    if (request.on_end) request.on_end(slot.sample, result);
  }

  void leave_ended() {
    std::erase_if(slots_, [](const SlotPtr& slot) { return slot->ended; });
  }

  State& state_;
  const std::vector<Request>& requests_;
  const Prefix& common_;
  SamplingOptions sampling_;
  core::RandomKey key_;
  std::vector<std::vector<Generation>> results_;
  size_t next_request_ = 0;
  std::deque<ReadyPrompt> ready_;
  std::vector<SlotPtr> slots_;
  std::deque<Started> started_;
};

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

std::vector<std::vector<Generation>> Engine::generate(const std::vector<Request>& requests,
                                                      const SamplingOptions& sampling, const core::RandomKey& key) {
  c10::NoGradGuard no_grad;
  validate(sampling);
  State& state = *state_;
  std::vector<const std::vector<TokenId>*> prompts;
  for (const Request& request : requests) {
    state.check(request);
    prompts.push_back(&request.prompt_ids);
  }
  for (const Request& request : requests) state.check_memory(request);
  Prefix common = state.common_prefix(prompts);
  if (!state.has_room_beside(common, requests)) common = {};

  core::Stopwatch prefill_watch;
  state.runner->prepare();
  state.compute(common);
  state.stats.prefill_s += prefill_watch.seconds();

  Call call(state, requests, common, sampling, key);
  while (!call.is_over()) {
    if (state.before_each_round) state.before_each_round();
    call.fill_slots();
    if (call.is_over()) break;
    core::Stopwatch watch;
    call.step();
    state.stats.decode_s += watch.seconds();
  }
  return call.take_results();
}

std::vector<std::vector<std::vector<float>>> Engine::score(const std::vector<ScoreRequest>& requests,
                                                           const std::function<void()>& on_scored) {
  c10::NoGradGuard no_grad;
  State& state = *state_;
  state.runner->prepare();
  core::Stopwatch watch;
  std::vector<const std::vector<TokenId>*> prompts;
  std::vector<std::vector<std::vector<float>>> scores;
  for (const ScoreRequest& request : requests) {
    prompts.push_back(&request.prompt_ids);
    scores.emplace_back(request.continuations.size());
  }
  Prefix common = state.common_prefix(prompts);
  if (!state.has_room(state.runner->sizes().rows(std::ssize(common.ids)))) common = {};
  state.compute(common);
  for (size_t next = 0, told = 0; next < requests.size();) {
    state.score_some(requests, common, next, scores);
    for (; told < next; ++told)
      if (on_scored) on_scored();
  }
  state.stats.prefill_s += watch.seconds();
  return scores;
}

}  // namespace thinktune::infer
