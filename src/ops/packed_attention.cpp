#include "thinktune/ops/packed_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "composite.h"
#include "element.h"
#include "kernels/packed_attention.h"

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

// f(shape of the group, its first token, kv head, scratch) for every group and kv head, on all threads. Which thread
// takes which does not show in the result.
template <class E, class F>
void over_tasks(const at::Tensor& q_TNH, int64_t num_kv_heads, const std::vector<PackedGroup>& groups,
                const AttentionOptions& options, bool backward, F f) {
  using A = kernels::Accum<E>;
  const int64_t num_heads = q_TNH.size(1), head_size = q_TNH.size(2);
  std::vector<kernels::PackedShape> shapes;
  std::vector<int64_t> firsts;
  int64_t first = 0, scratch_size = 0;
  for (const PackedGroup& group : groups) {
    shapes.push_back({.prompt_tokens = group.prompt_tokens,
                      .response_tokens = group.response_tokens.data(),
                      .num_responses = std::ssize(group.response_tokens),
                      .group_size = num_heads / num_kv_heads,
                      .head_size = head_size,
                      .q_stride = num_heads * head_size,
                      .kv_stride = num_kv_heads * head_size,
                      .lse_stride = num_heads,
                      .scale = options.scale,
                      .softcap = options.softcap,
                      .window = options.window});
    firsts.push_back(first);
    scratch_size = std::max(scratch_size, kernels::packed_attention_scratch(shapes.back(), backward));
    first += group.prompt_tokens;
    for (const int64_t n : group.response_tokens) first += n;
  }
  scratch_size = (scratch_size + 15) / 16 * 16;
  const int64_t num_tasks = std::ssize(groups) * num_kv_heads;
  const int64_t num_workers = std::min<int64_t>(num_tasks, at::get_num_threads());
  const at::Tensor scratch = at::empty({num_workers, scratch_size}, q_TNH.options().dtype(accum_dtype(q_TNH)));
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, num_workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      A* memory = mutable_data<A>(scratch) + worker * scratch_size;
      for (int64_t task = next++; task < num_tasks; task = next++) {
        const auto group = static_cast<size_t>(task / num_kv_heads);
        f(shapes[group], firsts[group], task % num_kv_heads, memory);
      }
    }
  });
}

struct Attended {
  at::Tensor out_TNH, lse_TN;
};

Attended forward_cpu(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                     const std::vector<PackedGroup>& groups, const AttentionOptions& options) {
  const int64_t num_heads = q_TNH.size(1), head_size = q_TNH.size(2), num_kv_heads = k_TKH.size(1);
  Attended result{at::empty(q_TNH.sizes(), q_TNH.options()),
                  at::empty({q_TNH.size(0), num_heads}, q_TNH.options().dtype(accum_dtype(q_TNH)))};
  with_element(q_TNH, "packed_attention", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E *q = data<E>(q_TNH), *k = data<E>(k_TKH), *v = data<E>(v_TKH);
    E* out = mutable_data<E>(result.out_TNH);
    A* lse = mutable_data<A>(result.lse_TN);
    over_tasks<E>(q_TNH, num_kv_heads, groups, options, false,
                  [&](const kernels::PackedShape& shape, int64_t first, int64_t kv_head, A* scratch) {
                    const int64_t q_at = first * shape.q_stride + kv_head * shape.group_size * head_size;
                    const int64_t kv_at = first * shape.kv_stride + kv_head * head_size;
                    kernels::packed_attention_forward(q + q_at, k + kv_at, v + kv_at, shape, scratch, out + q_at,
                                                      lse + first * num_heads + kv_head * shape.group_size);
                  });
  });
  return result;
}

variable_list backward_cpu(const at::Tensor& q_TNH, const at::Tensor& k_TKH, const at::Tensor& v_TKH,
                           const Attended& attended, const at::Tensor& dout_TNH, const std::vector<PackedGroup>& groups,
                           const AttentionOptions& options) {
  const int64_t num_heads = q_TNH.size(1), head_size = q_TNH.size(2), num_kv_heads = k_TKH.size(1);
  at::Tensor dq_TNH = at::empty_like(q_TNH), dk_TKH = at::empty_like(k_TKH), dv_TKH = at::empty_like(v_TKH);
  with_element(q_TNH, "packed_attention", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E *q = data<E>(q_TNH), *k = data<E>(k_TKH), *v = data<E>(v_TKH);
    const E *out = data<E>(attended.out_TNH), *dout = data<E>(dout_TNH);
    const A* lse = data<A>(attended.lse_TN);
    E *dq = mutable_data<E>(dq_TNH), *dk = mutable_data<E>(dk_TKH), *dv = mutable_data<E>(dv_TKH);
    over_tasks<E>(q_TNH, num_kv_heads, groups, options, true,
                  [&](const kernels::PackedShape& shape, int64_t first, int64_t kv_head, A* scratch) {
                    const int64_t q_at = first * shape.q_stride + kv_head * shape.group_size * head_size;
                    const int64_t kv_at = first * shape.kv_stride + kv_head * head_size;
                    kernels::packed_attention_backward(q + q_at, k + kv_at, v + kv_at, out + q_at,
                                                       lse + first * num_heads + kv_head * shape.group_size,
                                                       dout + q_at, shape, scratch, dq + q_at, dk + kv_at, dv + kv_at);
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
  if (!q_TNH.is_cpu()) return composite_packed_attention(q_TNH, k_TKH, v_TKH, groups, options);
  return wants_gradient({q_TNH, k_TKH, v_TKH})
             ? Attention::apply(q_TNH, k_TKH, v_TKH, groups, options)
             : forward_cpu(q_TNH.contiguous(), k_TKH.contiguous(), v_TKH.contiguous(), groups, options).out_TNH;
}

}  // namespace thinktune::ops
