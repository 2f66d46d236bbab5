// Sampling: prompts are computed, their samples enter slots, leave and make room for others.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <deque>

#include "infer/engine_state.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/sample_token.h"
#include "thinktune/ops/device.h"

namespace thinktune::infer {
namespace {

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

// One call of generate().
class Engine::Call {
 public:
  Call(State& state, const std::vector<Request>& requests, const Prefix& common, const SamplingOptions& sampling,
       const core::RandomKey& key)
      : state_(state), requests_(requests), common_(common), sampling_(sampling), key_(key), results_(requests.size()) {
    for (size_t r = 0; r < requests.size(); ++r) results_[r].resize(static_cast<size_t>(requests[r].num_samples));
  }

  // Throws Error{Data} for a token that the model has no row of, Error{User} beyond the model's positions.
  static void check(const State& state, const Request& request) {
    TT_CHECK(!request.prompt_ids.empty() && request.num_samples >= 1 && request.max_new_tokens >= 1,
             "a request needs a prompt, at least one sample and at least one new token");
    for (const TokenId id : request.prompt_ids)
      if (id < 0 || id >= state.config().vocab_size)
        throw core::data_error(
            fmt::format("a prompt holds the token {} ({}), for which the model's embedding of {} rows has none", id,
                        state.tokenizer.token_text(id), state.config().vocab_size),
            "leave it out of the prompt or the chat template");
    const int64_t tokens = std::ssize(request.prompt_ids) + request.max_new_tokens;
    if (tokens > model::max_tokens(state.config()))
      throw core::user_error(
          fmt::format("a prompt of {} tokens and {} new ones exceed the model's {} positions",
                      request.prompt_ids.size(), request.max_new_tokens, model::max_tokens(state.config())),
          "lower rollout.max_new_tokens (generate: --max-new-tokens), eval.max_new_tokens or prompt.max_prompt_tokens");
  }

  static int64_t bytes_of_one(const State& state, const Request& request) {
    const int64_t held_tokens = state.uses_held(request.prompt_ids) ? std::ssize(state.held.ids) : 0;
    return state.runner->sizes().sample(std::ssize(request.prompt_ids), request.max_new_tokens, held_tokens);
  }

  // What the others have in common lies there too while prompts are computed that begin with the held prefix.
  static bool has_room_beside(const State& state, const Prefix& common, const std::vector<Request>& requests) {
    const int64_t common_bytes = state.runner->sizes().rows(std::ssize(common.ids));
    return std::all_of(requests.begin(), requests.end(), [&](const Request& request) {
      return !state.uses_held(request.prompt_ids) || state.has_room(common_bytes + bytes_of_one(state, request));
    });
  }

  static void check_memory(const State& state, const Request& request) {
    const int64_t bytes = bytes_of_one(state, request);
    if (!state.has_room(bytes)) state.refuse_memory(std::ssize(request.prompt_ids), request.max_new_tokens, bytes);
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
          prefill_prompts(num_free_slots() - std::ssize(entering));
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

  // Computes the next waiting prompts until they give `wanted` samples, the token limit of a prefill is reached, or the
  // next one does not fit into memory together with one sample of any of them.
  void prefill_prompts(int64_t wanted) {
    std::vector<std::shared_ptr<KvSequence>> sequences;
    std::vector<std::vector<TokenId>> tokens;
    std::vector<int64_t> last_rows;
    const size_t first = next_request_;
    const KvSizes sizes = state_.runner->sizes();
    int64_t rows = 0, longest_sample = 0, tiles_bytes = 0;
    while (next_request_ < requests_.size() && wanted > 0 && (rows == 0 || rows < state_.options.prefill_tokens)) {
      const Request& request = requests_[next_request_];
      longest_sample = std::max(longest_sample, request.max_new_tokens);
      const int64_t own =
          std::ssize(request.prompt_ids) - std::ssize(state_.prefix_of(request.prompt_ids, common_).ids);
      const int64_t all_tiles_bytes = tiles_bytes + sizes.tiles(std::ssize(request.prompt_ids));
      if (!state_.has_room(sizes.rows(own) + sizes.rows(longest_sample) + all_tiles_bytes)) break;
      tiles_bytes = all_tiles_bytes;
      sequences.push_back(
          state_.begin(request.prompt_ids, state_.prefix_of(request.prompt_ids, common_), tokens.emplace_back()));
      rows += std::ssize(tokens.back());
      last_rows.push_back(rows - 1);
      wanted -= request.num_samples;
      ++next_request_;
    }
    if (sequences.empty()) return;
    const at::Tensor logits = state_.runner->logits(state_.prefill(sequences, tokens), last_rows);
    for (size_t i = 0; i < sequences.size(); ++i) {
      state_.runner->complete(*sequences[i]);
      ReadyPrompt& prompt = ready_.emplace_back();
      prompt.request = first + i;
      prompt.computed = sequences[i];
      prompt.logits_V = logits[static_cast<int64_t>(i)];
    }
  }

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

  bool ends_turn(TokenId id) const {
    if (state_.options.ignore_eos) return false;
    const auto& ids = state_.config().end_of_turn_ids;
    return std::find(ids.begin(), ids.end(), id) != ids.end();
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
      slot.tail += state_.tokenizer.token_bytes(token.id);
      for (const std::string& stop : request.stop_texts) {
        if (slot.tail.find(stop, before - std::min(before, stop.size())) == std::string::npos) continue;
        slot.generation.stop = Stop::StopText;
        return true;
      }
    }
    slot.generation.stop = Stop::Length;
    return std::ssize(slot.generation.ids) >= request.max_new_tokens;
  }

  void add_token(Slot& slot, const SampledToken& token) {
    const Request& request = requests_[slot.request];
    slot.ended = append(slot, request, token);
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

std::vector<std::vector<Generation>> Engine::generate(const std::vector<Request>& requests,
                                                      const SamplingOptions& sampling, const core::RandomKey& key) {
  c10::NoGradGuard no_grad;
  validate(sampling);
  State& state = *state_;
  std::vector<const std::vector<TokenId>*> prompts;
  for (const Request& request : requests) {
    Call::check(state, request);
    prompts.push_back(&request.prompt_ids);
  }
  for (const Request& request : requests) Call::check_memory(state, request);
  Prefix common = state.common_prefix(prompts);
  if (!Call::has_room_beside(state, common, requests)) common = {};

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

}  // namespace thinktune::infer
