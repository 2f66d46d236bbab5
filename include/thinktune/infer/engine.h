// The batched sampler. A call takes any number of prompts with n samples each; a fixed number of slots is kept busy:
// finished sequences leave, waiting ones enter. Keys and values stay within a bound: a sequence enters when there is
// room for all tokens that it may get, so none has to be given up. A prompt is computed once for its n samples, and
// what all prompts of a call begin with is computed once for the call. Tokens depend on weights, prompt and random key
// alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/core/random.h"
#include "thinktune/core/types.h"
#include "thinktune/model/decoder.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::infer {

using core::TokenId;

struct SamplingOptions {
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;
};
void describe(core::Fields& fields, SamplingOptions& options);
void validate(const SamplingOptions& options);

struct EngineOptions {
  int64_t max_sequences = 64;     // sequences decoded at a time
  int64_t prefill_tokens = 2048;  // prompt tokens computed at a time
  int64_t kv_cache_mib = 4096;    // bound of the keys and values; sequences that would exceed it wait
  bool cuda_graphs = true;        // on a GPU: decode steps are recorded once for each size of batch, and replayed
  // No fields of a config:
  bool ignore_eos = false;      // samples go on behind an end of turn, for measurements
  int64_t reserved_tokens = 0;  // on a GPU: room for keys and values that is taken at once, as kv_tokens() counts it
};
void describe(core::Fields& fields, EngineOptions& options);
void validate(const EngineOptions& options);

// Tokens whose keys and values all sequences of an engine can have together, up to so many of a prompt and behind it,
// if nothing is shared. What fits into EngineOptions::kv_cache_mib is the bound.
int64_t kv_tokens(const EngineOptions& options, int64_t prompt_tokens, int64_t new_tokens);

// Bytes that attention takes besides in a GPU's decode step of all sequences, up to so many tokens each.
int64_t decode_scratch_bytes(const model::ModelConfig& config, const EngineOptions& options, int64_t tokens);

enum class Stop : uint8_t { EndOfTurn, StopText, Length };

struct Generation {
  std::vector<TokenId> ids;     // the token that ended it included
  std::vector<float> logprobs;  // under the sampling transform (greedy: under temperature 1)
  Stop stop = Stop::Length;
};

struct Request {
  std::vector<TokenId> prompt_ids;  // at least one
  int64_t num_samples = 1;
  int64_t max_new_tokens = 1;
  uint64_t prompt_number = 0;           // keys the random numbers, with the sample's number
  std::vector<std::string> stop_texts;  // generation ends with the token that completes one of them
  // Called with each new token as it comes, and with each sample as it ends; may be empty.
  std::function<void(uint32_t sample, TokenId id)> on_token;
  std::function<void(uint32_t sample, const Generation& generation)> on_end;
};

// Texts that may follow a prompt, to be told how likely each is.
struct ScoreRequest {
  std::vector<TokenId> prompt_ids;  // at least one
  std::vector<std::vector<TokenId>> continuations;
};

using RowCounts = std::map<int64_t, int64_t>;  // rows of a pass through the model → passes of so many

struct EngineStats {
  int64_t prompt_tokens = 0;  // computed in prefill (shared beginnings once)
  int64_t generated_tokens = 0;
  RowCounts prefill_passes, decode_passes;
  double prefill_s = 0;
  double decode_s = 0;
  int64_t kv_peak_bytes = 0;  // keys and values, as reserved
};

class ModelRunner;  // model_runner.h

class Engine {
 public:
  // The decoder, the tokenizer and the weights must outlive the engine, which computes where the weights are. On the
  // CPU it keeps copies of the weights laid out for products: who changes them (in place) calls weights_changed().
  Engine(const model::Decoder& decoder, const model::Weights& weights, const text::Tokenizer& tokenizer,
         EngineOptions options);
  // On passes of the caller's choice.
  Engine(const model::Decoder& decoder, const model::Weights& weights, const text::Tokenizer& tokenizer,
         EngineOptions options, std::unique_ptr<ModelRunner> runner);
  // Beside another engine, with its decoder, tokenizer and options, over other weights on the same device: the keys and
  // values of both lie in one memory, within one bound. They compute one after the other.
  Engine(const Engine& other, const model::Weights& weights);
  ~Engine();

  // Keeps the keys and values of these first tokens until the next call of hold_prefix, or of release(): for weights
  // that never change.
  void hold_prefix(const std::vector<TokenId>& ids);
  bool holds_prefix() const;

  // Frees the held prefix and the copies of the weights; the next call makes the copies anew.
  void release();

  // As release(): what follows is computed with the weights as they are then.
  void weights_changed() { release(); }

  // Called before each token of generate(); what it throws ends the call, and the engine can be used again.
  void before_each_round(std::function<void()> callback);

  // EngineOptions::max_sequences: changes how many are decoded together, not what they say.
  int64_t max_sequences() const;
  void set_max_sequences(int64_t count);

  // result[r][s]: sample s of request r. `key` gives seed, stream and step. Throws Error{User}, before anything is
  // computed, if prompt and new tokens of a request together exceed the model's positions or the bound of the keys and
  // values.
  std::vector<std::vector<Generation>> generate(const std::vector<Request>& requests, const SamplingOptions& sampling,
                                                const core::RandomKey& key);

  // result[r][c]: log-probabilities (temperature 1) of the tokens of request r's continuation c behind its prompt,
  // which is computed once for all of them. As many requests at a time as go into a prefill: in f32 a last bit may
  // depend on that.
  std::vector<std::vector<std::vector<float>>> score(const std::vector<ScoreRequest>& requests,
                                                     const std::function<void()>& on_scored = {});

  // Of keys and values that are there between calls: held ones, those of an engine beside it included.
  int64_t kept_bytes() const;

  const EngineStats& stats() const;  // since construction or reset_stats()
  void reset_stats();

 private:
  struct State;
  class Call;
  class Scoring;
  std::unique_ptr<State> state_;
};

}  // namespace thinktune::infer
