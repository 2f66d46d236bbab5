// What an engine's passes run on: where keys and values lie, how a pass reads them, where tokens are drawn. One
// implementation for the CPU, one for a GPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "thinktune/infer/engine.h"
#include "thinktune/infer/kv_sizes.h"
#include "thinktune/infer/sample_token.h"

namespace thinktune::infer {

// The keys and values of a sequence, computed ones and room for more. They live as long as this, or a sequence that
// begins with it.
class KvSequence {
 public:
  virtual ~KvSequence() = default;
  virtual int64_t num_tokens() const = 0;  // computed so far
};

// One new token of a sequence that has some.
struct DecodeRow {
  KvSequence* sequence = nullptr;
  TokenId last_id = 0;  // the token to compute: what is drawn stands behind it
  // Not −1: that token is the one which this row of the step before draws, and last_id is not read. At most
  // ModelRunner::steps_ahead() steps are started like this.
  int64_t row_before = -1;
  core::RandomKey key;
  uint32_t draw = 0;  // the random number's position
};

// A decode step that was started. Whoever gives it up without taking its tokens waits for its end.
class StartedStep {
 public:
  virtual ~StartedStep() = default;
  virtual std::vector<SampledToken> take() = 0;  // waits; once; throws as sample_tokens
};

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  // Makes the copies of the weights that passes read, if they are not there; frees them. Passes need them.
  virtual void prepare() = 0;
  virtual void release() = 0;

  // What sequences take, and what all living ones take together, in bytes.
  virtual KvSizes sizes() const = 0;
  virtual int64_t used_bytes() const = 0;

  // A sequence with room for `capacity` tokens behind those of `before` (null: there are none), which it shares.
  // `before` gets no more tokens. Whether there is room is for the caller to know.
  virtual std::shared_ptr<KvSequence> extend(std::shared_ptr<const KvSequence> before, int64_t capacity) = 0;

  // Samples are to go on behind the sequence, which itself gets no more tokens: makes what their attention reads of it,
  // KvSizes::tiles.
  virtual void complete(KvSequence& sequence) = 0;

  // Computes tokens[i] behind sequences[i]; their hidden states, flat, [T, D].
  virtual at::Tensor prefill(const std::vector<std::shared_ptr<KvSequence>>& sequences,
                             const std::vector<std::vector<TokenId>>& tokens) = 0;

  // Rows of hidden states, as prefill gave them, to logits.
  virtual at::Tensor logits(const at::Tensor& hidden_TD, const std::vector<int64_t>& rows) = 0;

  // As sample_tokens, wherever the logits are.
  virtual std::vector<SampledToken> sample(const at::Tensor& logits_BV, const SamplingOptions& sampling,
                                           std::span<const core::RandomKey> keys,
                                           std::span<const uint32_t> positions) = 0;

  // Computes each row's last token behind its sequence, which has it from then on, and draws the next one. Steps are
  // taken in the order in which they were started, the last but one at the latest before another is started.
  virtual std::unique_ptr<StartedStep> decode(std::span<const DecodeRow> rows, const SamplingOptions& sampling) = 0;

  // Passes of the same decoder over other weights, for an engine that computes when this one's does not: their keys and
  // values lie in the same memory, and used_bytes() of either is both's.
  virtual std::unique_ptr<ModelRunner> beside(const model::Weights& weights) const = 0;

  // Frees what was made for decode steps of the sizes so far, of the runners beside this one too. No step may be on its
  // way.
  virtual void free_steps() {}

  // Steps that may be on their way, 0 or 1, when the tokens of one are taken: what the device goes on with meanwhile.
  virtual int64_t steps_ahead() const = 0;
};

// For weights on the CPU: keys and values in blocks, attention over a sequence's blocks by ops::decode_attention.
std::unique_ptr<ModelRunner> make_cpu_runner(const model::Decoder& decoder, const model::Weights& weights);

// For weights on any device, made for a GPU: keys and values in pages of one pool, within options.kv_cache_mib.
std::unique_ptr<ModelRunner> make_paged_runner(const model::Decoder& decoder, const model::Weights& weights,
                                               const EngineOptions& options);

}  // namespace thinktune::infer
