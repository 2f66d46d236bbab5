// Keys and values of tokens that were already computed, and the two ways to attend to them.
//
// Letters: T new tokens, N query heads, K key/value heads, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "thinktune/infer/kv_sizes.h"
#include "thinktune/model/attention.h"
#include "thinktune/model/decoder.h"
#include "thinktune/ops/decode_attention.h"

namespace thinktune::infer {

// What an engine's blocks take together.
struct KvMemory {
  int64_t used_bytes = 0;
};

// Keys and values of consecutive tokens in all layers: what prompts begin with, a prompt, a sample's own tail.
// Sequences share blocks. Of a prompt there is one copy beside its rows, for all its samples together (complete,
// KvSizes::tiles); for a single sample too: attention of 64 sequences with a prompt each takes 3.3 ms where each token
// lays out the rows anew, and 0.9 ms with copies (operations_benchmark, decode_attention).
class KvBlock {
 public:
  // `memory` counts the block as long as it lives; whether it fits is for the caller to know. `config` must outlive it.
  KvBlock(const model::ModelConfig& config, at::ScalarType dtype, int64_t capacity, KvMemory& memory);
  ~KvBlock();
  KvBlock(const KvBlock&) = delete;
  KvBlock& operator=(const KvBlock&) = delete;

  int64_t size() const { return size_; }
  void set_size(int64_t size) { size_ = size; }

  // Views of the first `tokens` rows of a layer, [tokens, K, H].
  at::Tensor keys(int64_t layer, int64_t tokens) const {
    return storage_.select(0, layer).select(0, 0).narrow(0, 0, tokens);
  }
  at::Tensor values(int64_t layer, int64_t tokens) const {
    return storage_.select(0, layer).select(0, 1).narrow(0, 0, tokens);
  }

  // Rows first … tokens of a layer, for ops::decode_attention.
  ops::KvSegment segment(int64_t layer, int64_t first, int64_t tokens) const;

  // Copies this block's rows and those of the blocks before it, in that order, laid out as decode attention reads what
  // is shared; nothing where it reads the rows themselves. From then on the block's size does not change.
  void complete(const std::vector<std::shared_ptr<const KvBlock>>& before);
  const void* tiles(int64_t layer) const {
    return tiles_.empty() ? nullptr : tiles_[static_cast<size_t>(layer)].const_data_ptr();
  }

  // Copies one token's rows to place `row` of a layer.
  void put(int64_t layer, int64_t row, const void* key, const void* value);

 private:
  at::Tensor storage_;  // [layers, 2, capacity, K, H]
  char* base_ = nullptr;
  int64_t row_bytes_ = 0, plane_bytes_ = 0;
  int64_t size_ = 0, capacity_ = 0;
  const model::ModelConfig& config_;
  KvMemory& memory_;
  std::vector<at::Tensor> tiles_;  // of each layer
  int64_t tiles_bytes_ = 0;
};

// What a sequence attends to: computed blocks in order of positions, then `own`, to which new tokens are added.
struct KvContext {
  std::vector<std::shared_ptr<const KvBlock>> before;
  std::shared_ptr<KvBlock> own;

  int64_t num_tokens() const;  // all tokens so far
};

// Several new tokens of each sequence, flat one sequence after the other. What it is made of must outlive it. Their
// keys and values go to context.own; the caller sets own's size when all layers are done.
class PrefillAttention final : public model::Attention {
 public:
  PrefillAttention(const model::ModelConfig& config, const std::vector<KvContext>& contexts,
                   const std::vector<int64_t>& new_tokens);
  at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH) override;

 private:
  const std::vector<KvContext>& contexts_;
  const std::vector<int64_t>& new_tokens_;
  const model::ModelConfig& config_;
  model::WindowKinds kinds_;
  std::vector<std::vector<at::Tensor>> masks_;  // by sequence and kind of window: [T_i, S_i], see ops::attention_mask
};

// One new token a sequence. Kept from step to step: no step allocates for its sequences.
class DecodeAttention final : public model::Attention {
 public:
  explicit DecodeAttention(const model::ModelConfig& config) : config_(config) {}

  // Of the next step, in which they must outlive it.
  void set_contexts(std::span<KvContext* const> contexts);

  at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH) override;

 private:
  const model::ModelConfig& config_;
  std::span<KvContext* const> contexts_;
  std::vector<std::vector<ops::KvSegment>> segments_;  // the first ones are the contexts'
};

}  // namespace thinktune::infer
