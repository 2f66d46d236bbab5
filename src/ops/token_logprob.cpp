// Chunks of tokens: one product gives the chunk's logits, one pass its statistics; backward computes the logits again,
// part of the vocabulary by part of the vocabulary, and turns them, in place, into their gradient.
//
// Letters: T tokens, V vocabulary, D width, R rows with a gradient that is not zero; C and B of a part of T and V.
#include "thinktune/ops/token_logprob.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "element.h"
#include "leaf_sum.h"
#include "logit_rows.h"
#include "tile_product.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool truncates(const LogprobTransform& transform) { return transform.top_k > 0 || transform.top_p < 1; }

void check(const at::Tensor& hidden_TD, const at::Tensor& head_VD, const at::Tensor& targets_T,
           const TokenLogprobOptions& options) {
  TT_CHECK(hidden_TD.dim() == 2 && head_VD.dim() == 2 && hidden_TD.size(1) == head_VD.size(1) && head_VD.size(0) > 0,
           "token_logprob: hidden must be [T, D] and head [V, D], not {} and {}", shape(hidden_TD), shape(head_VD));
  TT_CHECK(hidden_TD.scalar_type() == head_VD.scalar_type(), "token_logprob: hidden is {} and head {}",
           c10::toString(hidden_TD.scalar_type()), c10::toString(head_VD.scalar_type()));
  with_element(hidden_TD, "token_logprob", []<class E>() {});
  TT_CHECK(targets_T.dim() == 1 && targets_T.size(0) == hidden_TD.size(0) && targets_T.scalar_type() == at::kLong,
           "token_logprob: targets must be {} int64, not {} {}", hidden_TD.size(0), shape(targets_T),
           c10::toString(targets_T.scalar_type()));
  TT_CHECK(hidden_TD.device() == head_VD.device() && hidden_TD.device() == targets_T.device(),
           "token_logprob: inputs on different devices");
  TT_CHECK(options.chunk_tokens > 0 && options.backward_tokens > 0 && options.backward_vocabulary > 0,
           "token_logprob: chunk_tokens is {}, backward_tokens {}, backward_vocabulary {}", options.chunk_tokens,
           options.backward_tokens, options.backward_vocabulary);
  TT_CHECK(options.softcap >= 0, "token_logprob: softcap is {}", options.softcap);
  const LogprobTransform& t = options.transform;
  TT_CHECK(t.temperature > 0 && t.top_k >= 0 && t.top_p > 0 && t.top_p <= 1,
           "token_logprob: temperature {}, top_k {}, top_p {}", t.temperature, t.top_k, t.top_p);
  if (targets_T.is_cpu() &&
      targets_T.size(0) > 0)  // elsewhere a look would wait for the device, whose own check is to do
    TT_CHECK(targets_T.min().item<int64_t>() >= 0 && targets_T.max().item<int64_t>() < head_VD.size(0),
             "token_logprob: a target is outside the vocabulary of {}", head_VD.size(0));
}

// One result a token, and what backward needs to know of it.
LogitRows empty_rows(const at::Tensor& hidden_TD, const at::Tensor& targets_T) {
  const int64_t num_tokens = hidden_TD.size(0);
  const auto options = hidden_TD.options().dtype(accum_dtype(hidden_TD));
  return {.targets_C = targets_T,
          .logprob_C = at::empty({num_tokens}, options),
          .entropy_C = at::empty({num_tokens}, options),
          .threshold_C = at::empty({num_tokens}, options),
          .log_normalizer_C = at::empty({num_tokens}, options.dtype(at::kDouble))};
}

LogitRows narrow(const LogitRows& all, int64_t begin, int64_t count, const at::Tensor& logits_CV) {
  const auto part = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, begin, count) : t; };
  return {logits_CV,           part(all.targets_C),   part(all.logprob_C),
          part(all.entropy_C), part(all.threshold_C), part(all.log_normalizer_C)};
}

// Rows of whole logits held at a time: a bound in bytes too, whatever the vocabulary.
int64_t chunk_rows(int64_t vocabulary, const TokenLogprobOptions& options) {
  constexpr int64_t kMaxLogits = int64_t{1} << 24;
  return std::clamp(kMaxLogits / vocabulary, int64_t{1}, options.chunk_tokens);
}

// The (capped) logits of a part of the tokens and a part of the vocabulary, into `buffer`. The head may be what
// tile_weight made of it.
at::Tensor compute_logits(const at::Tensor& hidden_CD, const at::Tensor& head_BD, double softcap,
                          const at::Tensor& buffer) {
  const int64_t rows = hidden_CD.size(0), entries = head_BD.size(0);
  at::Tensor logits_CB = buffer.narrow(0, 0, rows * entries).view({rows, entries});
  if (const TiledWeight* tiles = tiled(head_BD))
    tile_product(logits_CB, hidden_CD, *tiles, {});
  else if (has_tile_products(hidden_CD, head_BD.t()))
    tile_matmul(logits_CB, hidden_CD, head_BD.t(), {}, /*adds=*/false);
  else
    at::mm_out(logits_CB, hidden_CD, head_BD.t());
  if (softcap > 0) logits_CB.div_(softcap).tanh_().mul_(softcap);
  return logits_CB;
}

LogitRows compute_forward(const at::Tensor& hidden_TD, const at::Tensor& head_VD, const at::Tensor& targets_T,
                          const TokenLogprobOptions& options) {
  const LogitRows all = empty_rows(hidden_TD, targets_T);
  const int64_t num_tokens = hidden_TD.size(0), vocabulary = head_VD.size(0);
  const int64_t chunk = std::min(num_tokens, chunk_rows(vocabulary, options));
  const at::Tensor buffer = at::empty({chunk * vocabulary}, hidden_TD.options());
  // Laid out once for all chunks.
  const at::Tensor head = num_tokens > chunk && has_tile_products(head_VD) ? tile_weight(head_VD) : head_VD;
  for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
    const int64_t count = std::min(chunk, num_tokens - begin);
    const at::Tensor logits_CV = compute_logits(hidden_TD.narrow(0, begin, count), head, options.softcap, buffer);
    row_statistics(narrow(all, begin, count, logits_CV), options.transform);
  }
  return all;
}

// sum += a · b; the sum is f32. A GPU's products of bf16 come in f32 too; the CPU's that are not ours are rounded to
// bf16, each of them.
void add_product(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b) {
  if (has_tile_products(a, b))
    tile_matmul(sum, a, b, {}, /*adds=*/true);
  else if (a.scalar_type() == sum.scalar_type())
    sum.addmm_(a, b);
  else if (sum.is_cuda())
    sum.add_(at::mm(a, b, sum.scalar_type()));
  else
    sum.add_(at::mm(a, b));
}

struct Gradients {
  at::Tensor hidden;  // undefined if not asked for
  at::Tensor head;
};

// Part of the vocabulary by part of the vocabulary, and in it part of the tokens by part of the tokens: each gives its
// share of the gradient of its tokens and of its part of the head, which goes to the head's sum where it has one.
Gradients compute_backward(const at::Tensor& hidden_RD, const at::Tensor& head_VD, const LogitRows& rows,
                           const TokenLogprobOptions& options, bool truncates, const at::Tensor& grad_logprob_R,
                           const at::Tensor& grad_entropy_R, bool wants_hidden, bool wants_head,
                           const LeafSum& head_leaf) {
  const int64_t num_tokens = hidden_RD.size(0), vocabulary = head_VD.size(0), width = head_VD.size(1);
  // With a truncated distribution the chunks are those of forward: a product may round a row differently in another
  // shape, and the border token would fall out of the set.
  const int64_t block = truncates ? vocabulary : std::min(vocabulary, options.backward_vocabulary);
  const int64_t chunk = truncates ? chunk_rows(vocabulary, options) : options.backward_tokens;
  const auto accumulating = hidden_RD.options().dtype(accum_dtype(hidden_RD));
  at::Tensor hidden_sum_RD, head_sum_BD;
  Gradients gradients;
  if (wants_hidden) hidden_sum_RD = at::zeros({num_tokens, width}, accumulating);
  if (wants_head && !head_leaf.sum.defined()) gradients.head = at::empty_like(head_VD);
  const at::Tensor buffer = at::empty({std::min(chunk, num_tokens) * block}, hidden_RD.options());
  for (int64_t first = 0; first < vocabulary; first += block) {
    const int64_t entries = std::min(block, vocabulary - first);
    const at::Tensor head_BD = head_VD.narrow(0, first, entries);
    if (head_leaf.sum.defined())
      head_sum_BD = head_leaf.sum.narrow(0, first, entries);
    else if (wants_head)
      head_sum_BD = at::empty({entries, width}, accumulating);
    if (wants_head && (head_leaf.is_new || !head_leaf.sum.defined())) head_sum_BD.zero_();
    for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
      const int64_t count = std::min(chunk, num_tokens - begin);
      const at::Tensor hidden_CD = hidden_RD.narrow(0, begin, count);
      const at::Tensor logits_CB = compute_logits(hidden_CD, head_BD, options.softcap, buffer);
      at::Tensor slope_CB;  // of the cap: 1 − tanh²
      if (options.softcap > 0) slope_CB = 1 - (logits_CB / options.softcap).square_();
      LogitRows part = narrow(rows, begin, count, logits_CB);
      if (first > 0) part.targets_C = part.targets_C - first;
      row_gradients(part, options.transform, grad_logprob_R.narrow(0, begin, count),
                    grad_entropy_R.narrow(0, begin, count));
      if (slope_CB.defined()) logits_CB.mul_(slope_CB);
      if (wants_hidden) {
        at::Tensor sum_CD = hidden_sum_RD.narrow(0, begin, count);
        add_product(sum_CD, logits_CB, head_BD);
      }
      if (wants_head) add_product(head_sum_BD, logits_CB.t(), hidden_CD);
    }
    if (gradients.head.defined()) gradients.head.narrow(0, first, entries).copy_(head_sum_BD);
  }
  if (wants_hidden) gradients.hidden = hidden_sum_RD.to(hidden_RD.scalar_type());
  return gradients;
}

struct TokenLogprob : torch::autograd::Function<TokenLogprob> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden_TD, const at::Tensor& head_VD,
                               const at::Tensor& targets_T, const TokenLogprobOptions& options) {
    const at::Tensor hidden = hidden_TD.contiguous(), head = head_VD.contiguous();
    const LogitRows rows = compute_forward(hidden, head, targets_T, options);
    ctx->save_for_backward({hidden, head, targets_T, rows.threshold_C, rows.log_normalizer_C, rows.entropy_C});
    ctx->saved_data["temperature"] = options.transform.temperature;
    ctx->saved_data["truncates"] = truncates(options.transform);
    ctx->saved_data["chunk_tokens"] = options.chunk_tokens;
    ctx->saved_data["backward_tokens"] = options.backward_tokens;
    ctx->saved_data["backward_vocabulary"] = options.backward_vocabulary;
    ctx->saved_data["softcap"] = options.softcap;
    ctx->saved_data["entropy_gradient"] = options.entropy_gradient;
    if (!options.entropy_gradient) ctx->mark_non_differentiable({rows.entropy_C});
    return {rows.logprob_C, rows.entropy_C};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("token_logprob");
    const variable_list saved = ctx->get_saved_variables();
    at::Tensor hidden = saved[0];
    const at::Tensor& head = saved[1];
    LogitRows rows{.targets_C = saved[2], .entropy_C = saved[5], .threshold_C = saved[3], .log_normalizer_C = saved[4]};
    TokenLogprobOptions options;
    options.transform.temperature = ctx->saved_data["temperature"].toDouble();
    options.chunk_tokens = ctx->saved_data["chunk_tokens"].toInt();
    options.backward_tokens = ctx->saved_data["backward_tokens"].toInt();
    options.backward_vocabulary = ctx->saved_data["backward_vocabulary"].toInt();
    options.softcap = ctx->saved_data["softcap"].toDouble();

    at::Tensor grad_logprob = grads[0].to(at::kDouble).contiguous();
    at::Tensor grad_entropy = ctx->saved_data["entropy_gradient"].toBool() ? grads[1].to(at::kDouble).contiguous()
                                                                           : at::zeros_like(grad_logprob);

    // Tokens without a gradient (groups of equal rewards, padding) need no logits. With a truncated distribution the
    // chunks stay as they were.
    const bool truncates = ctx->saved_data["truncates"].toBool();
    at::Tensor used;
    if (!truncates) {
      used = ((grad_logprob != 0) | (grad_entropy != 0)).nonzero().squeeze(1);
      if (used.size(0) == hidden.size(0)) used = at::Tensor();
    }
    if (used.defined()) {
      for (at::Tensor* t : {&hidden, &rows.targets_C, &rows.entropy_C, &rows.threshold_C, &rows.log_normalizer_C,
                            &grad_logprob, &grad_entropy})
        *t = t->index_select(0, used);
    }
    const bool wants_head = ctx->needs_input_grad(1);
    Gradients gradients =
        compute_backward(hidden, head, rows, options, truncates, grad_logprob, grad_entropy, ctx->needs_input_grad(0),
                         wants_head, wants_head ? leaf_sum(head) : LeafSum());
    if (used.defined() && gradients.hidden.defined())
      gradients.hidden = at::zeros_like(saved[0]).index_copy_(0, used, gradients.hidden);
    return {gradients.hidden, gradients.head, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenLogprobs token_logprob(const at::Tensor& hidden_TD, const at::Tensor& head_VD, const at::Tensor& targets_T,
                            const TokenLogprobOptions& options) {
  check(hidden_TD, head_VD, targets_T, options);
  const at::Tensor targets = targets_T.contiguous();
  if (wants_gradient({hidden_TD, head_VD})) {
    const variable_list out = TokenLogprob::apply(hidden_TD, head_VD, targets, options);
    return {out[0], out[1]};
  }
  const LogitRows rows = compute_forward(hidden_TD.detach(), head_VD.detach(), targets, options);
  return {rows.logprob_C, rows.entropy_C};
}

}  // namespace thinktune::ops
