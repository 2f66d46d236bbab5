// Letters: T tokens of all groups, N query heads, K key/value heads, H head size, B responses of a group, R tokens of
// the longest response, P prompt tokens, S = P + R.
#include <ATen/ATen.h>

#include "composite.h"

namespace thinktune::ops {
namespace {

struct Tokens {  // the tokens of a group's prompt, or of its responses
  at::Tensor q_TNH, k_TNH, v_TNH;
};

// Where the responses' tokens stand when each is padded to the longest. Padding stands behind a response's own tokens,
// where the causal mask hides it from them; what padded places compute is never read.
struct Padding {
  int64_t longest = 0;
  at::Tensor rows;    // [B·R] row of each padded place; padding points at row 0
  at::Tensor places;  // [response tokens] padded place of each row
};

Padding pad(const PackedGroup& group, at::Device device) {
  Padding padding;
  for (const int64_t tokens : group.response_tokens) padding.longest = std::max(padding.longest, tokens);
  std::vector<int64_t> rows(group.response_tokens.size() * static_cast<size_t>(padding.longest), 0), places;
  int64_t row = 0;
  for (size_t b = 0; b < group.response_tokens.size(); ++b)
    for (int64_t i = 0; i < group.response_tokens[b]; ++i) {
      const int64_t place = static_cast<int64_t>(b) * padding.longest + i;
      rows[static_cast<size_t>(place)] = row++;
      places.push_back(place);
    }
  const auto options = at::TensorOptions().dtype(at::kLong);
  padding.rows = at::tensor(rows, options).to(device);
  padding.places = at::tensor(places, options).to(device);
  return padding;
}

at::Tensor attend_group(const PackedGroup& group, const Tokens& prompt, const Tokens& responses,
                        const AttentionOptions& options) {
  const at::Device device = prompt.q_TNH.device();
  const int64_t P = group.prompt_tokens, B = std::ssize(group.response_tokens);
  const int64_t N = prompt.q_TNH.size(1), H = prompt.q_TNH.size(2);
  const auto mask = [&](int64_t queries, int64_t keys) {
    const at::Tensor mask_RS = attention_mask(queries, keys, options.window);
    return mask_RS.defined() ? mask_RS.to(device) : mask_RS;
  };
  const auto by_head = [](const at::Tensor& x_PNH) { return x_PNH.transpose(0, 1).unsqueeze(0); };  // [1, N, P, H]
  const at::Tensor prompt_PNH =
      masked_attention(by_head(prompt.q_TNH), by_head(prompt.k_TNH), by_head(prompt.v_TNH), mask(P, P), options)
          .squeeze(0)
          .transpose(0, 1);
  const Padding padding = pad(group, device);
  if (padding.places.size(0) == 0) return prompt_PNH;

  const int64_t R = padding.longest;
  const auto padded = [&](const at::Tensor& x) {  // [B, N, R, H]
    return x.index_select(0, padding.rows).view({B, R, N, H}).transpose(1, 2);
  };
  const auto with_prompt = [&](const at::Tensor& of_prompt, const at::Tensor& of_responses) {  // [B, N, S, H]
    return at::cat({by_head(of_prompt).expand({B, N, P, H}), padded(of_responses)}, 2);
  };
  const at::Tensor padded_BNRH = masked_attention(padded(responses.q_TNH), with_prompt(prompt.k_TNH, responses.k_TNH),
                                                  with_prompt(prompt.v_TNH, responses.v_TNH), mask(R, P + R), options);
  return at::cat({prompt_PNH, padded_BNRH.transpose(1, 2).reshape({B * R, N, H}).index_select(0, padding.places)});
}

}  // namespace

at::Tensor composite_packed_attention(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                                      const std::vector<PackedGroup>& groups, const AttentionOptions& options) {
  const int64_t heads_per_kv = q_TNH.size(1) / k_TKH.size(1);
  // One split for all groups: its gradient is one concatenation, where a slice's is a tensor of zeros as large as the
  // whole, for each.
  std::vector<int64_t> sizes;
  for (const PackedGroup& group : groups) {
    int64_t of_responses = 0;
    for (const int64_t tokens : group.response_tokens) of_responses += tokens;
    sizes.insert(sizes.end(), {group.prompt_tokens, of_responses});
  }
  const std::vector<at::Tensor> q = q_TNH.split_with_sizes(sizes);
  const std::vector<at::Tensor> k = k_TKH.repeat_interleave(heads_per_kv, 1).split_with_sizes(sizes);
  const std::vector<at::Tensor> v = v_TKH.repeat_interleave(heads_per_kv, 1).split_with_sizes(sizes);
  std::vector<at::Tensor> outputs;
  for (size_t i = 0; i < groups.size(); ++i)
    outputs.push_back(
        attend_group(groups[i], {q[2 * i], k[2 * i], v[2 * i]}, {q[2 * i + 1], k[2 * i + 1], v[2 * i + 1]}, options));
  return at::cat(outputs);
}

}  // namespace thinktune::ops
