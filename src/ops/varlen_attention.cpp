#include "thinktune/ops/varlen_attention.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "element.h"

namespace thinktune::ops {
namespace {

void check(const at::Tensor& q_TNH, const at::Tensor& k_SKH, const at::Tensor& v_SKH, const VarlenLayout& layout) {
  TT_CHECK(q_TNH.dim() == 3 && k_SKH.dim() == 3 && v_SKH.sizes() == k_SKH.sizes() && q_TNH.size(2) == k_SKH.size(2) &&
               k_SKH.size(1) > 0 && q_TNH.size(1) % k_SKH.size(1) == 0,
           "varlen_attention: q {}, k {}, v {}", shape(q_TNH), shape(k_SKH), shape(v_SKH));
  TT_CHECK(q_TNH.scalar_type() == k_SKH.scalar_type() && q_TNH.scalar_type() == v_SKH.scalar_type(),
           "varlen_attention: q, k and v differ in dtype");
  int64_t queries = 0, keys = 0;
  for (const VarlenSequence& sequence : layout.sequences) {
    queries += sequence.queries;
    keys += sequence.keys;
  }
  TT_CHECK(queries == q_TNH.size(0) && keys == k_SKH.size(0),
           "varlen_attention: {} queries and {} keys in the layout, {} and {} in the tensors", queries, keys,
           q_TNH.size(0), k_SKH.size(0));
}

// What LibTorch's flash attention takes.
bool has_flash_attention(const at::Tensor& q_TNH, const AttentionOptions& options) {
  return q_TNH.is_cuda() && q_TNH.scalar_type() == at::kBFloat16 && options.softcap == 0 && q_TNH.size(2) % 8 == 0 &&
         q_TNH.size(2) <= 256;
}

// Its causal mask is that of the last queries of a longer sequence, as ours.
at::Tensor flash_attention(const at::Tensor& q_TNH, const at::Tensor& k_SKH, const at::Tensor& v_SKH,
                           const VarlenLayout& layout, const AttentionOptions& options) {
  const bool cuts = options.window > 0 && options.window < layout.longest_keys;
  const std::optional<int64_t> before = cuts ? std::optional(options.window - 1) : std::nullopt;
  const std::optional<int64_t> behind = cuts ? std::optional<int64_t>(0) : std::nullopt;
  return std::get<0>(at::_flash_attention_forward(
      q_TNH, k_SKH, v_SKH, layout.query_offsets, layout.key_offsets, layout.longest_queries, layout.longest_keys,
      /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false, options.scale, before, behind));
}

at::Tensor one_by_one(const at::Tensor& q_TNH, const at::Tensor& k_SKH, const at::Tensor& v_SKH,
                      const VarlenLayout& layout, const AttentionOptions& options) {
  const int64_t heads_per_kv = q_TNH.size(1) / k_SKH.size(1);
  const auto by_head = [](const at::Tensor& x_TNH) { return x_TNH.transpose(0, 1).unsqueeze(0); };  // [1, N, T, H]
  const auto repeated = [&](const at::Tensor& x_SKH) { return by_head(x_SKH.repeat_interleave(heads_per_kv, 1)); };
  // One split for all sequences: its gradient is one concatenation, where a slice's is a tensor of zeros as large as
  // the whole, for each.
  std::vector<int64_t> queries, keys;
  for (const VarlenSequence& sequence : layout.sequences) {
    queries.push_back(sequence.queries);
    keys.push_back(sequence.keys);
  }
  const std::vector<at::Tensor> q = q_TNH.split_with_sizes(queries), k = k_SKH.split_with_sizes(keys),
                                v = v_SKH.split_with_sizes(keys);
  std::vector<at::Tensor> outputs;
  for (size_t b = 0; b < queries.size(); ++b) {
    const at::Tensor mask_TS = attention_mask(queries[b], keys[b], options.window, q_TNH.device());
    outputs.push_back(
        masked_attention(by_head(q[b]), repeated(k[b]), repeated(v[b]), mask_TS, options).squeeze(0).transpose(0, 1));
  }
  return at::cat(outputs);
}

}  // namespace

VarlenLayout make_varlen_layout(std::vector<VarlenSequence> sequences, at::Device device) {
  VarlenLayout layout;
  std::vector<int32_t> queries = {0}, keys = {0};
  for (const VarlenSequence& sequence : sequences) {
    TT_CHECK(sequence.queries >= 1 && sequence.keys >= sequence.queries, "a sequence of {} queries and {} keys",
             sequence.queries, sequence.keys);
    queries.push_back(queries.back() + static_cast<int32_t>(sequence.queries));
    keys.push_back(keys.back() + static_cast<int32_t>(sequence.keys));
    layout.longest_queries = std::max(layout.longest_queries, sequence.queries);
    layout.longest_keys = std::max(layout.longest_keys, sequence.keys);
  }
  layout.query_offsets = at::tensor(queries, at::TensorOptions().dtype(at::kInt)).to(device);
  layout.key_offsets = at::tensor(keys, at::TensorOptions().dtype(at::kInt)).to(device);
  layout.sequences = std::move(sequences);
  return layout;
}

at::Tensor varlen_attention(const at::Tensor& q_TNH, const at::Tensor& k_SKH, const at::Tensor& v_SKH,
                            const VarlenLayout& layout, const AttentionOptions& options) {
  check(q_TNH, k_SKH, v_SKH, layout);
  if (layout.sequences.empty()) return q_TNH;
  return has_flash_attention(q_TNH, options) ? flash_attention(q_TNH, k_SKH, v_SKH, layout, options)
                                             : one_by_one(q_TNH, k_SKH, v_SKH, layout, options);
}

}  // namespace thinktune::ops
