// Chunks of tokens: one product gives the chunk's logits, one pass its statistics; backward computes the logits again
// and turns them, in place, into their gradient.
//
// Letters: T tokens, V vocabulary, D width, R rows with a gradient that is not zero.
#include "thinktune/ops/token_logprob.h"

#include <torch/csrc/autograd/custom_function.h>

#include "element.h"
#include "logit_rows.h"

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
  TT_CHECK(options.chunk_tokens > 0, "token_logprob: chunk_tokens is {}", options.chunk_tokens);
  TT_CHECK(options.softcap >= 0, "token_logprob: softcap is {}", options.softcap);
  const LogprobTransform& t = options.transform;
  TT_CHECK(t.temperature > 0 && t.top_k >= 0 && t.top_p > 0 && t.top_p <= 1,
           "token_logprob: temperature {}, top_k {}, top_p {}", t.temperature, t.top_k, t.top_p);
  if (targets_T.size(0) > 0)
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

// f(begin, logits_CV) for each chunk, with the chunk's logits (capped) in one buffer that all chunks share.
template <class F>
void over_chunks(const at::Tensor& hidden_TD, const at::Tensor& head_VD, const TokenLogprobOptions& options, F f) {
  const int64_t num_tokens = hidden_TD.size(0), chunk_tokens = options.chunk_tokens;
  const at::Tensor head_DV = head_VD.t();
  at::Tensor buffer = at::empty({std::min(chunk_tokens, num_tokens), head_VD.size(0)}, hidden_TD.options());
  for (int64_t begin = 0; begin < num_tokens; begin += chunk_tokens) {
    const int64_t count = std::min(chunk_tokens, num_tokens - begin);
    at::Tensor logits_CV = buffer.narrow(0, 0, count);
    at::mm_out(logits_CV, hidden_TD.narrow(0, begin, count), head_DV);
    if (options.softcap > 0) logits_CV.div_(options.softcap).tanh_().mul_(options.softcap);
    f(begin, logits_CV);
  }
}

LogitRows compute_forward(const at::Tensor& hidden_TD, const at::Tensor& head_VD, const at::Tensor& targets_T,
                          const TokenLogprobOptions& options) {
  const LogitRows all = empty_rows(hidden_TD, targets_T);
  over_chunks(hidden_TD, head_VD, options, [&](int64_t begin, const at::Tensor& logits_CV) {
    row_statistics(narrow(all, begin, logits_CV.size(0), logits_CV), options.transform);
  });
  return all;
}

// Σ over chunks of d_logitsᵀ · hidden. A product of bf16 comes out rounded to bf16, once a chunk; the sum over chunks
// is f32.
class HeadGradient {
 public:
  explicit HeadGradient(const at::Tensor& head_VD) : head_VD_(head_VD) {}

  void add(const at::Tensor& dlogits_CV, const at::Tensor& hidden_CD) {
    if (!sum_VD_.defined())
      sum_VD_ = at::mm(dlogits_CV.t(), hidden_CD).to(accum_dtype(head_VD_));
    else if (head_VD_.scalar_type() == accum_dtype(head_VD_))
      sum_VD_.addmm_(dlogits_CV.t(), hidden_CD);
    else
      sum_VD_.add_(at::mm(dlogits_CV.t(), hidden_CD));
  }

  at::Tensor result() const {
    return sum_VD_.defined() ? sum_VD_.to(head_VD_.scalar_type()) : at::zeros_like(head_VD_);
  }

 private:
  at::Tensor head_VD_;
  at::Tensor sum_VD_;
};

struct Gradients {
  at::Tensor hidden;  // undefined if not asked for
  at::Tensor head;
};

Gradients compute_backward(const at::Tensor& hidden_RD, const at::Tensor& head_VD, const LogitRows& rows,
                           const TokenLogprobOptions& options, const at::Tensor& grad_logprob_R,
                           const at::Tensor& grad_entropy_R, bool wants_hidden, bool wants_head) {
  Gradients gradients;
  if (wants_hidden) gradients.hidden = at::empty_like(hidden_RD);
  HeadGradient head_gradient(head_VD);
  over_chunks(hidden_RD, head_VD, options, [&](int64_t begin, const at::Tensor& logits_CV) {
    const int64_t count = logits_CV.size(0);
    at::Tensor slope_CV;  // of the cap: 1 − tanh²
    if (options.softcap > 0) slope_CV = 1 - (logits_CV / options.softcap).square_();
    row_gradients(narrow(rows, begin, count, logits_CV), options.transform, grad_logprob_R.narrow(0, begin, count),
                  grad_entropy_R.narrow(0, begin, count));
    if (slope_CV.defined()) logits_CV.mul_(slope_CV);
    if (wants_hidden) {
      at::Tensor part = gradients.hidden.narrow(0, begin, count);
      at::mm_out(part, logits_CV, head_VD);
    }
    if (wants_head) head_gradient.add(logits_CV, hidden_RD.narrow(0, begin, count));
  });
  if (wants_head) gradients.head = head_gradient.result();
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
    options.softcap = ctx->saved_data["softcap"].toDouble();

    at::Tensor grad_logprob = grads[0].to(at::kDouble).contiguous();
    at::Tensor grad_entropy = ctx->saved_data["entropy_gradient"].toBool() ? grads[1].to(at::kDouble).contiguous()
                                                                           : at::zeros_like(grad_logprob);

    // Tokens without a gradient (groups of equal rewards, padding) need no logits. With a truncated distribution the
    // chunks stay as they were: a product may round a row differently in other company, and the border token would fall
    // out of the set.
    at::Tensor used;
    if (!ctx->saved_data["truncates"].toBool()) {
      used = ((grad_logprob != 0) | (grad_entropy != 0)).nonzero().squeeze(1);
      if (used.size(0) == hidden.size(0)) used = at::Tensor();
    }
    if (used.defined()) {
      for (at::Tensor* t : {&hidden, &rows.targets_C, &rows.entropy_C, &rows.threshold_C, &rows.log_normalizer_C,
                            &grad_logprob, &grad_entropy})
        *t = t->index_select(0, used);
    }
    Gradients gradients = compute_backward(hidden, head, rows, options, grad_logprob, grad_entropy,
                                           ctx->needs_input_grad(0), ctx->needs_input_grad(1));
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
