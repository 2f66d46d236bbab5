// Packed groups as sequences of different lengths. The prompt's keys are read once for each response; their gradients
// are summed by the gather's backward.
#include <ATen/ATen.h>

#include "thinktune/core/error.h"
#include "thinktune/ops/packed_attention.h"

namespace thinktune::ops {

PackedLayout make_packed_layout(const std::vector<PackedGroup>& groups, at::Device device) {
  std::vector<VarlenSequence> sequences;
  std::vector<int64_t> rows;
  const auto add_rows = [&](int64_t begin, int64_t count) {
    for (int64_t i = 0; i < count; ++i) rows.push_back(begin + i);
  };
  int64_t first = 0;
  for (const PackedGroup& group : groups) {
    const int64_t prompt = first;
    sequences.push_back({group.prompt_tokens, group.prompt_tokens});
    add_rows(prompt, group.prompt_tokens);
    first += group.prompt_tokens;
    for (const int64_t tokens : group.response_tokens) {
      if (tokens == 0) continue;
      sequences.push_back({tokens, group.prompt_tokens + tokens});
      add_rows(prompt, group.prompt_tokens);
      add_rows(first, tokens);
      first += tokens;
    }
  }
  return {make_varlen_layout(std::move(sequences), device),
          at::tensor(rows, at::TensorOptions().dtype(at::kLong)).to(device)};
}

at::Tensor packed_varlen_attention(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                                   const PackedLayout& layout, const AttentionOptions& options) {
  return varlen_attention(q_TNH, k_TKH.index_select(0, layout.key_rows_S), v_TKH.index_select(0, layout.key_rows_S),
                          layout.sequences, options);
}

}  // namespace thinktune::ops
