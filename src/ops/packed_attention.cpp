#include "thinktune/ops/packed_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "composite.h"
#include "element.h"
#include "kernels/packed_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/tile_layout.h"
#include "packed_tiles.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
           const std::vector<PackedGroup>& groups) {
  TT_CHECK(q_TNH.dim() == 3 && k_TKH.dim() == 3 && v_TKH.sizes() == k_TKH.sizes() && q_TNH.size(0) == k_TKH.size(0) &&
               q_TNH.size(2) == k_TKH.size(2) && k_TKH.size(1) > 0 && q_TNH.size(1) % k_TKH.size(1) == 0,
           "packed_attention: q {}, k {}, v {}", shape(q_TNH), shape(k_TKH), shape(v_TKH));
  TT_CHECK(q_TNH.scalar_type() == k_TKH.scalar_type() && q_TNH.scalar_type() == v_TKH.scalar_type(),
           "packed_attention: q, k and v differ in dtype");
  int64_t tokens = 0;
  for (const PackedGroup& group : groups) {
    TT_CHECK(group.prompt_tokens > 0, "packed_attention: a group needs a prompt");
    tokens += group.prompt_tokens;
    for (const int64_t n : group.response_tokens) {
      TT_CHECK(n >= 0, "packed_attention: a response of {} tokens", n);
      tokens += n;
    }
  }
  TT_CHECK(tokens == q_TNH.size(0), "packed_attention: {} tokens in the groups, {} in q", tokens, q_TNH.size(0));
}

// A group is computed in parts, for threads to end together where there is one group or one kv head. Each lays out the
// prompt's keys and values and sums their gradients for itself: small beside the rest from so many tokens on, and in
// memory from half of the prompt's on.
constexpr int64_t kPartTokens = 128;

std::vector<kernels::PackedPart> parts_of(const PackedGroup& group) {
  const int64_t enough = std::max(kPartTokens, group.prompt_tokens / 2);
  std::vector<kernels::PackedPart> parts(1, {0, 1});
  int64_t tokens = group.prompt_tokens, left = 0;
  for (const int64_t n : group.response_tokens) left += n;
  for (const int64_t n : group.response_tokens) {
    if (tokens >= enough && left >= enough) {
      parts.push_back({parts.back().end, parts.back().end});
      tokens = 0;
    }
    ++parts.back().end;
    tokens += n;
    left -= n;
  }
  return parts;
}

int64_t num_tokens(const PackedGroup& group, const kernels::PackedPart& part) {
  int64_t tokens = part.begin == 0 ? group.prompt_tokens : 0;
  for (int64_t i = std::max<int64_t>(1, part.begin); i < part.end; ++i)
    tokens += group.response_tokens[static_cast<size_t>(i - 1)];
  return tokens;
}

// A group for one kv head.
struct HeadGroup {
  kernels::PackedShape shape;
  std::vector<kernels::PackedPart> parts;
  int64_t q_at, kv_at, lse_at;  // elements before its first
  int64_t sums_at;              // the same for what its parts add to the prompt's gradients, [P, parts, H]
};

struct Task {
  size_t group, part;
  int64_t tokens;
};

struct Plan {
  std::vector<HeadGroup> groups;
  std::vector<Task> tasks;  // the longest first
  int64_t sums_size = 0;
};

Plan make_plan(int64_t num_heads, int64_t num_kv_heads, int64_t head_size, const std::vector<PackedGroup>& groups,
               const AttentionOptions& options) {
  Plan plan;
  const int64_t group_size = num_heads / num_kv_heads;
  int64_t first = 0;
  for (const PackedGroup& group : groups) {
    const kernels::PackedShape shape{.prompt_tokens = group.prompt_tokens,
                                     .response_tokens = group.response_tokens.data(),
                                     .num_responses = std::ssize(group.response_tokens),
                                     .group_size = group_size,
                                     .head_size = head_size,
                                     .q_stride = num_heads * head_size,
                                     .kv_stride = num_kv_heads * head_size,
                                     .lse_stride = num_heads,
                                     .scale = options.scale,
                                     .softcap = options.softcap,
                                     .window = options.window};
    const std::vector<kernels::PackedPart> parts = parts_of(group);
    for (int64_t kv_head = 0; kv_head < num_kv_heads; ++kv_head) {
      for (size_t part = 0; part < parts.size(); ++part)
        plan.tasks.push_back({plan.groups.size(), part, num_tokens(group, parts[part])});
      plan.groups.push_back({shape, parts, first * shape.q_stride + kv_head * group_size * head_size,
                             first * shape.kv_stride + kv_head * head_size, first * num_heads + kv_head * group_size,
                             plan.sums_size});
      plan.sums_size += group.prompt_tokens * std::ssize(parts) * head_size;
    }
    first += group.prompt_tokens;
    for (const int64_t n : group.response_tokens) first += n;
  }
  std::stable_sort(plan.tasks.begin(), plan.tasks.end(),
                   [](const Task& a, const Task& b) { return a.tokens > b.tokens; });
  return plan;
}

// f(group, its part's number, scratch) for every task, on all threads. Which thread takes which does not show in the
// result.
template <class E, class F>
void over_tasks(const Plan& plan, const at::TensorOptions& tensor, bool backward, F f) {
  using A = kernels::Accum<E>;
  int64_t scratch_size = 0;
  for (const HeadGroup& group : plan.groups)
    scratch_size = std::max(scratch_size, kernels::packed_attention_scratch(group.shape, backward));
  scratch_size = (scratch_size + 15) / 16 * 16;
  const int64_t num_tasks = std::ssize(plan.tasks), num_workers = std::min<int64_t>(num_tasks, at::get_num_threads());
  const at::Tensor scratch = at::empty({num_workers, scratch_size}, tensor);
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, num_workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      A* memory = mutable_data<A>(scratch) + worker * scratch_size;
      for (int64_t task = next++; task < num_tasks; task = next++) {
        const auto& [group, part, tokens] = plan.tasks[static_cast<size_t>(task)];
        f(plan.groups[group], part, memory);
      }
    }
  });
}

bool has_tiles_for(const at::Tensor& q_TNH) { return q_TNH.size(2) % kernels::kTileDepth == 0; }

struct Attended {
  at::Tensor out_TNH, lse_TN;
};

Attended forward_cpu(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                     const std::vector<PackedGroup>& groups, const AttentionOptions& options) {
  const int64_t num_heads = q_TNH.size(1);
  const at::TensorOptions sums = q_TNH.options().dtype(accum_dtype(q_TNH));
  Attended result{at::empty(q_TNH.sizes(), q_TNH.options()), at::empty({q_TNH.size(0), num_heads}, sums)};
  const Plan plan = make_plan(num_heads, k_TKH.size(1), q_TNH.size(2), groups, options);
  [[maybe_unused]] const bool by_tiles = has_tiles_for(q_TNH);
  with_element(q_TNH, "packed_attention", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E *q = data<E>(q_TNH), *k = data<E>(k_TKH), *v = data<E>(v_TKH);
    E* out = mutable_data<E>(result.out_TNH);
    A* lse = mutable_data<A>(result.lse_TN);
    over_tasks<E>(plan, sums, false, [&](const HeadGroup& g, size_t part, A* scratch) {
      if constexpr (std::is_same_v<E, kernels::Bf16>)
        if (by_tiles)
          return packed_tiles_forward(q + g.q_at, k + g.kv_at, v + g.kv_at, g.shape, g.parts[part], out + g.q_at,
                                      lse + g.lse_at);
      kernels::packed_attention_forward(q + g.q_at, k + g.kv_at, v + g.kv_at, g.shape, g.parts[part], scratch,
                                        out + g.q_at, lse + g.lse_at);
    });
  });
  return result;
}

variable_list backward_cpu(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                           const Attended& attended, const at::Tensor& dout_TNH, const std::vector<PackedGroup>& groups,
                           const AttentionOptions& options) {
  const int64_t head_size = q_TNH.size(2);
  at::Tensor dq_TNH = at::empty_like(q_TNH), dk_TKH = at::empty_like(k_TKH), dv_TKH = at::empty_like(v_TKH);
  const Plan plan = make_plan(q_TNH.size(1), k_TKH.size(1), head_size, groups, options);
  const at::Tensor sums = at::empty({2, plan.sums_size}, q_TNH.options().dtype(accum_dtype(q_TNH)));
  [[maybe_unused]] const bool by_tiles = has_tiles_for(q_TNH);
  with_element(q_TNH, "packed_attention", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E *q = data<E>(q_TNH), *k = data<E>(k_TKH), *v = data<E>(v_TKH);
    const E *out = data<E>(attended.out_TNH), *dout = data<E>(dout_TNH);
    const A* lse = data<A>(attended.lse_TN);
    E *dq = mutable_data<E>(dq_TNH), *dk = mutable_data<E>(dk_TKH), *dv = mutable_data<E>(dv_TKH);
    A *dk_sums = mutable_data<A>(sums), *dv_sums = dk_sums + plan.sums_size;
    over_tasks<E>(plan, sums.options(), true, [&](const HeadGroup& g, size_t part, A* scratch) {
      const int64_t at = g.sums_at + static_cast<int64_t>(part) * head_size;
      if constexpr (std::is_same_v<E, kernels::Bf16>)
        if (by_tiles)
          return packed_tiles_backward(q + g.q_at, k + g.kv_at, v + g.kv_at, out + g.q_at, lse + g.lse_at,
                                       dout + g.q_at, g.shape, g.parts[part], dq + g.q_at, dk + g.kv_at, dv + g.kv_at,
                                       {dk_sums + at, dv_sums + at, std::ssize(g.parts) * head_size});
      kernels::packed_attention_backward<E>(q + g.q_at, k + g.kv_at, v + g.kv_at, out + g.q_at, lse + g.lse_at,
                                            dout + g.q_at, g.shape, g.parts[part], scratch, dq + g.q_at, dk + g.kv_at,
                                            dv + g.kv_at,
                                            {dk_sums + at, dv_sums + at, std::ssize(g.parts) * head_size});
    });
    at::parallel_for(0, std::ssize(plan.groups), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const HeadGroup& g = plan.groups[static_cast<size_t>(i)];
        const int64_t num_parts = std::ssize(g.parts);
        for (int64_t t = 0; t < g.shape.prompt_tokens; ++t) {
          const int64_t at = g.sums_at + t * num_parts * head_size, row = g.kv_at + t * g.shape.kv_stride;
          kernels::sum_blocks<E>(dk_sums + at, num_parts, head_size, dk + row);
          kernels::sum_blocks<E>(dv_sums + at, num_parts, head_size, dv + row);
        }
      }
    });
  });
  return {dq_TNH, dk_TKH, dv_TKH};
}

// The graph outlives its caller's groups: they are kept in it as numbers.
std::vector<int64_t> as_numbers(const std::vector<PackedGroup>& groups) {
  std::vector<int64_t> numbers;
  for (const PackedGroup& group : groups) {
    numbers.insert(numbers.end(), {group.prompt_tokens, std::ssize(group.response_tokens)});
    numbers.insert(numbers.end(), group.response_tokens.begin(), group.response_tokens.end());
  }
  return numbers;
}

std::vector<PackedGroup> as_groups(const std::vector<int64_t>& numbers) {
  std::vector<PackedGroup> groups;
  for (auto at = numbers.begin(); at != numbers.end();) {
    PackedGroup& group = groups.emplace_back();
    group.prompt_tokens = *at++;
    const int64_t num_responses = *at++;
    group.response_tokens.assign(at, at + num_responses);
    at += num_responses;
  }
  return groups;
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                            const at::Tensor& v_TKH, const std::vector<PackedGroup>& groups,
                            const AttentionOptions& options) {
    const at::Tensor q = q_TNH.contiguous(), k = k_TKH.contiguous(), v = v_TKH.contiguous();
    const Attended attended = forward_cpu(q, k, v, groups, options);
    ctx->save_for_backward({q, k, v, attended.out_TNH, attended.lse_TN});
    ctx->saved_data["groups"] = as_numbers(groups);
    ctx->saved_data["scale"] = options.scale;
    ctx->saved_data["softcap"] = options.softcap;
    ctx->saved_data["window"] = options.window;
    return attended.out_TNH;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("packed_attention");
    const variable_list saved = ctx->get_saved_variables();
    const AttentionOptions options{ctx->saved_data["scale"].toDouble(), ctx->saved_data["softcap"].toDouble(),
                                   ctx->saved_data["window"].toInt()};
    variable_list gradients = backward_cpu(saved[0], saved[1], saved[2], {saved[3], saved[4]}, grads[0].contiguous(),
                                           as_groups(ctx->saved_data["groups"].toIntVector()), options);
    gradients.resize(5);
    return gradients;
  }
};

}  // namespace

at::Tensor packed_attention(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                            const std::vector<PackedGroup>& groups, const AttentionOptions& options) {
  check(q_TNH, k_TKH, v_TKH, groups);
  if (groups.empty()) return q_TNH;
  if (!q_TNH.is_cpu())
    return packed_varlen_attention(q_TNH, k_TKH, v_TKH, make_packed_layout(groups, q_TNH.device()), options);
  return wants_gradient({q_TNH, k_TKH, v_TKH})
             ? Attention::apply(q_TNH, k_TKH, v_TKH, groups, options)
             : forward_cpu(q_TNH.contiguous(), k_TKH.contiguous(), v_TKH.contiguous(), groups, options).out_TNH;
}

}  // namespace thinktune::ops
