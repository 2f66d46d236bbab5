// Letters: T tokens of all groups, N query heads, K key/value heads, H head size, B responses of a group, R tokens of
// the longest response, P prompt tokens, S = P + R.
#include "thinktune/model/packed_attention.h"

#include <ATen/ATen.h>

#include "thinktune/core/error.h"

namespace thinktune::model {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

}  // namespace

at::Tensor packed_positions(const std::vector<PackedGroup>& groups) {
  std::vector<int64_t> positions;
  for (const PackedGroup& group : groups) {
    for (int64_t i = 0; i < group.prompt_tokens; ++i) positions.push_back(i);
    for (const int64_t tokens : group.response_tokens)
      for (int64_t i = 0; i < tokens; ++i) positions.push_back(group.prompt_tokens + i);
  }
  return index_tensor(positions);
}

PackedAttention::PackedAttention(const ModelConfig& config, const std::vector<PackedGroup>& groups)
    : config_(config), kinds_(config) {
  int64_t first = 0;
  for (const PackedGroup& group : groups) {
    TT_CHECK(group.prompt_tokens > 0, "a packed group needs a prompt");
    Plan plan{.first = first, .prompt_tokens = group.prompt_tokens, .num_responses = std::ssize(group.response_tokens)};
    for (const int64_t tokens : group.response_tokens) plan.longest = std::max(plan.longest, tokens);

    // Padding stands behind a response's own tokens, where the causal mask hides it from them; what padded places
    // compute is never read.
    std::vector<int64_t> rows(static_cast<size_t>(plan.num_responses * plan.longest), 0), places;
    int64_t row = 0;
    for (int64_t b = 0; b < plan.num_responses; ++b) {
      for (int64_t i = 0; i < group.response_tokens[static_cast<size_t>(b)]; ++i) {
        rows[static_cast<size_t>(b * plan.longest + i)] = row++;
        places.push_back(b * plan.longest + i);
      }
    }
    plan.rows = index_tensor(rows);
    plan.places = index_tensor(places);
    for (const int64_t window : kinds_.windows()) {
      plan.prompt_masks.push_back(attention_mask(plan.prompt_tokens, plan.prompt_tokens, window));
      plan.response_masks.push_back(attention_mask(plan.longest, plan.prompt_tokens + plan.longest, window));
    }
    first += plan.prompt_tokens + std::ssize(places);
    plans_.push_back(std::move(plan));
  }
}

at::Tensor PackedAttention::attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                                   const at::Tensor& v_TKH) {
  // LibTorch's bf16 attention on a CPU sets up a oneDNN product for every small block, which takes longer than the
  // product; in f32 it calls BLAS.
  const at::ScalarType dtype = q_TNH.scalar_type();
  const at::ScalarType inner = dtype == at::kBFloat16 && q_TNH.is_cpu() ? at::kFloat : dtype;
  const int64_t heads_per_kv = config_.num_heads / config_.num_kv_heads;
  const at::Tensor q_in_TNH = q_TNH.to(inner);
  const at::Tensor k_TNH = k_TKH.to(inner).repeat_interleave(heads_per_kv, 1);
  const at::Tensor v_TNH = v_TKH.to(inner).repeat_interleave(heads_per_kv, 1);
  // One split for all groups: its gradient is one concatenation, where a slice's is a tensor of zeros as large as the
  // whole, for each.
  std::vector<int64_t> sizes;
  for (const Plan& plan : plans_) sizes.insert(sizes.end(), {plan.prompt_tokens, plan.places.size(0)});
  const std::vector<at::Tensor> q = q_in_TNH.split_with_sizes(sizes);
  const std::vector<at::Tensor> k = k_TNH.split_with_sizes(sizes);
  const std::vector<at::Tensor> v = v_TNH.split_with_sizes(sizes);
  std::vector<at::Tensor> outputs;
  outputs.reserve(plans_.size());
  for (size_t i = 0; i < plans_.size(); ++i)
    outputs.push_back(attend_group(plans_[i], kinds_.kind_of(layer), {q[2 * i], k[2 * i], v[2 * i]},
                                   {q[2 * i + 1], k[2 * i + 1], v[2 * i + 1]}));
  return (outputs.size() == 1 ? outputs[0] : at::cat(outputs)).to(dtype);
}

at::Tensor PackedAttention::attend_group(const Plan& plan, size_t kind, const Tokens& prompt,
                                         const Tokens& responses) const {
  const int64_t P = plan.prompt_tokens, B = plan.num_responses, R = plan.longest;
  const int64_t N = prompt.q_TNH.size(1), H = prompt.q_TNH.size(2);
  const auto by_head = [](const at::Tensor& x_PNH) { return x_PNH.transpose(0, 1).unsqueeze(0); };  // [1, N, P, H]
  const at::Tensor prompt_PNH = masked_attention(config_, by_head(prompt.q_TNH), by_head(prompt.k_TNH),
                                                 by_head(prompt.v_TNH), plan.prompt_masks[kind])
                                    .squeeze(0)
                                    .transpose(0, 1);
  if (plan.places.size(0) == 0) return prompt_PNH;

  const auto padded = [&](const at::Tensor& x) {  // [B, N, R, H]
    return x.index_select(0, plan.rows).view({B, R, N, H}).transpose(1, 2);
  };
  const auto with_prompt = [&](const at::Tensor& of_prompt, const at::Tensor& of_responses) {  // [B, N, S, H]
    return at::cat({by_head(of_prompt).expand({B, N, P, H}), padded(of_responses)}, 2);
  };
  const at::Tensor padded_BNRH =
      masked_attention(config_, padded(responses.q_TNH), with_prompt(prompt.k_TNH, responses.k_TNH),
                       with_prompt(prompt.v_TNH, responses.v_TNH), plan.response_masks[kind]);
  const at::Tensor responses_RNH = padded_BNRH.transpose(1, 2).reshape({B * R, N, H}).index_select(0, plan.places);
  return at::cat({prompt_PNH, responses_RNH});
}

}  // namespace thinktune::model
