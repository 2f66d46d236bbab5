// Letters: T new tokens, S tokens attended to, N query heads, K key/value heads, H head size.
#include "thinktune/infer/kv_cache.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "thinktune/core/error.h"
#include "thinktune/ops/masked_attention.h"

namespace thinktune::infer {

KvBlock::KvBlock(const model::ModelConfig& config, at::ScalarType dtype, int64_t capacity, KvMemory& memory)
    : storage_(at::empty({config.num_layers, 2, capacity, config.num_kv_heads, config.head_dim}, dtype)),
      base_(static_cast<char*>(storage_.mutable_data_ptr())),
      row_bytes_(config.num_kv_heads * config.head_dim * storage_.element_size()),
      plane_bytes_(row_bytes_ * capacity),
      capacity_(capacity),
      config_(config),
      memory_(memory) {
  memory_.used_bytes += static_cast<int64_t>(storage_.nbytes());
}

KvBlock::~KvBlock() { memory_.used_bytes -= static_cast<int64_t>(storage_.nbytes()) + tiles_bytes_; }

void KvBlock::complete(const std::vector<std::shared_ptr<const KvBlock>>& before) {
  if (!tiles_.empty() || size_ == 0) return;
  int64_t tokens = size_;
  for (const auto& block : before) tokens += block->size();
  const int64_t bytes = KvSizes(config_, storage_.scalar_type(), /*in_pages=*/false).tiles(tokens);
  if (bytes == 0) return;
  std::vector<ops::KvSegment> segments;
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    segments.clear();
    for (const auto& block : before) segments.push_back(block->segment(layer, 0, block->size()));
    segments.push_back(segment(layer, 0, size_));
    tiles_.push_back(ops::tile_kv(segments, config_.num_kv_heads, config_.head_dim, storage_.scalar_type()));
  }
  tiles_bytes_ = bytes;
  memory_.used_bytes += bytes;
}

ops::KvSegment KvBlock::segment(int64_t layer, int64_t first, int64_t tokens) const {
  const char* keys = base_ + 2 * layer * plane_bytes_ + first * row_bytes_;
  return {keys, keys + plane_bytes_, tokens - first};
}

void KvBlock::put(int64_t layer, int64_t row, const void* key, const void* value) {
  TT_CHECK(row < capacity_, "row {} of a block for {} tokens", row, capacity_);
  char* keys = base_ + 2 * layer * plane_bytes_ + row * row_bytes_;
  std::memcpy(keys, key, static_cast<size_t>(row_bytes_));
  std::memcpy(keys + plane_bytes_, value, static_cast<size_t>(row_bytes_));
}

int64_t KvContext::num_tokens() const {
  int64_t tokens = own->size();
  for (const auto& block : before) tokens += block->size();
  return tokens;
}

PrefillAttention::PrefillAttention(const model::ModelConfig& config, const std::vector<KvContext>& contexts,
                                   const std::vector<int64_t>& new_tokens)
    : contexts_(contexts), new_tokens_(new_tokens), config_(config), kinds_(config) {
  for (size_t i = 0; i < contexts.size(); ++i) {
    const int64_t before = contexts[i].num_tokens();
    std::vector<at::Tensor>& masks = masks_.emplace_back();
    for (const int64_t window : kinds_.windows())
      masks.push_back(ops::attention_mask(new_tokens[i], before + new_tokens[i], window));
  }
}

at::Tensor PrefillAttention::attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                                    const at::Tensor& v_TKH) {
  const int64_t heads_per_kv = config_.num_heads / config_.num_kv_heads;
  const auto by_head = [&](const at::Tensor& x_SKH) {  // [1, N, S, H]
    return x_SKH.repeat_interleave(heads_per_kv, 1).transpose(0, 1).unsqueeze(0);
  };
  std::vector<at::Tensor> outputs;
  int64_t first = 0;
  for (size_t i = 0; i < contexts_.size(); ++i) {
    const KvContext& context = contexts_[i];
    const int64_t tokens = new_tokens_[i], written = context.own->size(), end = written + tokens;
    context.own->keys(layer, end).narrow(0, written, tokens).copy_(k_TKH.narrow(0, first, tokens));
    context.own->values(layer, end).narrow(0, written, tokens).copy_(v_TKH.narrow(0, first, tokens));
    std::vector<at::Tensor> keys, values;
    for (const auto& block : context.before) {
      keys.push_back(block->keys(layer, block->size()));
      values.push_back(block->values(layer, block->size()));
    }
    keys.push_back(context.own->keys(layer, end));
    values.push_back(context.own->values(layer, end));
    const at::Tensor query = q_TNH.narrow(0, first, tokens).transpose(0, 1).unsqueeze(0);
    const at::Tensor out =
        ops::masked_attention(query, by_head(at::cat(keys)), by_head(at::cat(values)), masks_[i][kinds_.kind_of(layer)],
                              {.scale = config_.attention_scale, .softcap = config_.attention_softcap});
    outputs.push_back(out.squeeze(0).transpose(0, 1));
    first += tokens;
  }
  return at::cat(outputs);
}

void DecodeAttention::set_contexts(std::span<KvContext* const> contexts) {
  contexts_ = contexts;
  if (segments_.size() < contexts.size()) segments_.resize(contexts.size());
  for (size_t b = 0; b < contexts.size(); ++b) segments_[b].resize(contexts[b]->before.size() + 1);
}

at::Tensor DecodeAttention::attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                                   const at::Tensor& v_TKH) {
  const int64_t bytes = k_TKH.element_size();
  const auto* keys = static_cast<const char*>(k_TKH.const_data_ptr());
  const auto* values = static_cast<const char*>(v_TKH.const_data_ptr());
  TT_CHECK(k_TKH[0].is_contiguous() && v_TKH[0].is_contiguous(), "a token's keys and values must be contiguous");
  const auto put = [&](size_t b) {
    KvContext& context = *contexts_[b];
    const auto row = static_cast<int64_t>(b);
    context.own->put(layer, context.own->size(), keys + row * k_TKH.stride(0) * bytes,
                     values + row * v_TKH.stride(0) * bytes);
    const int64_t tokens = context.num_tokens() + 1, window = model::window_of(config_, layer);
    int64_t unseen = window > 0 ? std::max<int64_t>(0, tokens - window) : 0;
    const auto seen_part = [&](const KvBlock& block, int64_t size) {
      const int64_t first = std::min(unseen, size);
      unseen -= first;
      return block.segment(layer, first, size);
    };
    for (size_t i = 0; i < context.before.size(); ++i) {
      segments_[b][i] = seen_part(*context.before[i], context.before[i]->size());
      segments_[b][i].shared = true;
    }
    if (!context.before.empty()) segments_[b][context.before.size() - 1].tiles = context.before.back()->tiles(layer);
    segments_[b].back() = seen_part(*context.own, context.own->size() + 1);
  };
  // On all threads: where a row is written to is seldom in a cache.
  at::parallel_for(0, std::ssize(contexts_), 8, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) put(static_cast<size_t>(b));
  });
  return ops::decode_attention(
      q_TNH, std::span(segments_).first(contexts_.size()),
      {.num_kv_heads = config_.num_kv_heads, .scale = config_.attention_scale, .softcap = config_.attention_softcap});
}

}  // namespace thinktune::infer
