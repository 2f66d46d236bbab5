#include "logit_rows.h"

#include "element.h"
#include "gpu_kernels.h"
#include "kernels/sampling_transform.h"
#include "kernels/softmax_row.h"
#include "thinktune/ops/device.h"

namespace thinktune::ops {

void row_statistics(const LogitRows& rows, const LogprobTransform& transform) {
  const auto pass = gpu::has_kernels(rows.logits_CV) ? gpu::row_statistics
                    : rows.logits_CV.is_cpu()        ? row_statistics_cpu
                                                     : row_statistics_composite;
  pass(rows, transform);
}

void row_gradients(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                   const at::Tensor& grad_entropy_C) {
  const auto pass = gpu::has_kernels(rows.logits_CV) ? gpu::row_gradients
                    : rows.logits_CV.is_cpu()        ? row_gradients_cpu
                                                     : row_gradients_composite;
  pass(rows, transform, grad_logprob_C, grad_entropy_C);
}

void row_statistics_cpu(const LogitRows& rows, const LogprobTransform& transform) {
  const int64_t vocabulary = rows.logits_CV.size(1);
  const kernels::SamplingTransform row_transform{transform.temperature, transform.top_k, transform.top_p};
  const bool truncates = transform.top_k > 0 || transform.top_p < 1;
  with_element(rows.logits_CV, "token_logprob", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E* logits = data<E>(rows.logits_CV);
    const int64_t* targets = data<int64_t>(rows.targets_C);
    A *logprob = mutable_data<A>(rows.logprob_C), *entropy = mutable_data<A>(rows.entropy_C);
    A* threshold = mutable_data<A>(rows.threshold_C);
    double* log_normalizer = mutable_data<double>(rows.log_normalizer_C);
    at::parallel_for(0, rows.logits_CV.size(0), row_grain(vocabulary), [&](int64_t begin, int64_t end) {
      std::vector<A> scratch(truncates ? vocabulary : 0);
      for (int64_t i = begin; i < end; ++i) {
        const auto statistics =
            kernels::target_statistics(logits + i * vocabulary, vocabulary, targets[i], row_transform, scratch.data());
        logprob[i] = static_cast<A>(statistics.logprob);
        entropy[i] = static_cast<A>(statistics.entropy);
        threshold[i] = statistics.row.threshold;
        log_normalizer[i] = statistics.row.log_normalizer;
      }
    });
  });
}

void row_gradients_cpu(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                       const at::Tensor& grad_entropy_C) {
  const int64_t vocabulary = rows.logits_CV.size(1);
  with_element(rows.logits_CV, "token_logprob", [&]<class E>() {
    using A = kernels::Accum<E>;
    E* logits = mutable_data<E>(rows.logits_CV);
    const int64_t* targets = data<int64_t>(rows.targets_C);
    const A *entropy = data<A>(rows.entropy_C), *threshold = data<A>(rows.threshold_C);
    const double* log_normalizer = data<double>(rows.log_normalizer_C);
    const double *grad_logprob = data<double>(grad_logprob_C), *grad_entropy = data<double>(grad_entropy_C);
    at::parallel_for(0, rows.logits_CV.size(0), row_grain(vocabulary), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        kernels::row_gradient(logits + i * vocabulary, vocabulary,
                              {.target = targets[i],
                               .temperature = transform.temperature,
                               .threshold = threshold[i],
                               .log_normalizer = log_normalizer[i],
                               .entropy = entropy[i],
                               .grad_logprob = grad_logprob[i],
                               .grad_entropy = grad_entropy[i]});
    });
  });
}

namespace {

// 1 at each row's target, if it is among the row's logits.
at::Tensor onehot(const at::Tensor& logits_CV, const at::Tensor& targets_C) {
  return at::arange(logits_CV.size(1), targets_C.options()) == targets_C.unsqueeze(1);
}

// The logits divided by the temperature, −infinity where dropped.
at::Tensor kept_scaled(const at::Tensor& logits_CV, const at::Tensor& targets_C, const at::Tensor& threshold_C,
                       double temperature) {
  const at::Tensor dropped_CV = (logits_CV < threshold_C.unsqueeze(1)) & ~onehot(logits_CV, targets_C);
  return (logits_CV / temperature).masked_fill(dropped_CV, -std::numeric_limits<double>::infinity());
}

at::Tensor find_threshold(const at::Tensor& logits_CV, const LogprobTransform& transform) {
  at::Tensor threshold_C = at::full({logits_CV.size(0)}, -std::numeric_limits<double>::infinity(), logits_CV.options());
  if (transform.top_k > 0 && transform.top_k < logits_CV.size(1))
    threshold_C = std::get<0>(logits_CV.topk(transform.top_k)).select(1, transform.top_k - 1);
  if (transform.top_p < 1) {
    const at::Tensor sorted_CV = std::get<0>(logits_CV.sort(1, /*descending=*/true));
    const at::Tensor kept_CV =
        (sorted_CV / transform.temperature)
            .masked_fill(sorted_CV < threshold_C.unsqueeze(1), -std::numeric_limits<double>::infinity());
    // In f64, as the CPU's rows are summed: the token at the border is the same. LibTorch promises no order of a
    // cumulative sum; it has one within a row.
    const FreeOrder free_order;
    const at::Tensor last_C =
        (at::softmax(kept_CV, 1, at::kDouble).cumsum(1) < transform.top_p).sum(1).clamp_max(logits_CV.size(1) - 1);
    threshold_C = at::maximum(threshold_C, sorted_CV.gather(1, last_C.unsqueeze(1)).squeeze(1));
  }
  return threshold_C;
}

}  // namespace

void row_statistics_composite(const LogitRows& rows, const LogprobTransform& transform) {
  const at::Tensor logits_CV = rows.logits_CV.to(accum_dtype(rows.logits_CV));
  rows.threshold_C.copy_(find_threshold(logits_CV, transform));
  const at::Tensor scaled_CV = kept_scaled(logits_CV, rows.targets_C, rows.threshold_C, transform.temperature);
  const at::Tensor log_normalizer_C = at::logsumexp(scaled_CV, 1);
  const at::Tensor logprob_CV = scaled_CV - log_normalizer_C.unsqueeze(1);
  rows.log_normalizer_C.copy_(log_normalizer_C);
  rows.logprob_C.copy_(logprob_CV.gather(1, rows.targets_C.unsqueeze(1)).squeeze(1));
  // −Σ p log p; where p is 0 the product is 0, not 0 · −infinity.
  const at::Tensor p_CV = logprob_CV.exp();
  rows.entropy_C.copy_(-at::where(p_CV == 0, at::zeros_like(p_CV), p_CV * logprob_CV).sum(1));
}

void row_gradients_composite(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                             const at::Tensor& grad_entropy_C) {
  const at::Tensor logits_CV = rows.logits_CV.to(accum_dtype(rows.logits_CV));
  const auto column = [&](const at::Tensor& t) { return t.to(logits_CV.scalar_type()).unsqueeze(1); };
  const at::Tensor logprob_CV =
      kept_scaled(logits_CV, rows.targets_C, rows.threshold_C, transform.temperature) - column(rows.log_normalizer_C);
  const at::Tensor p_CV = logprob_CV.exp();
  const at::Tensor onehot_CV = onehot(logits_CV, rows.targets_C).to(p_CV.scalar_type());
  const at::Tensor of_entropy_CV =
      at::where(p_CV == 0, at::zeros_like(p_CV), -p_CV * (logprob_CV + column(rows.entropy_C)));
  rows.logits_CV.copy_((column(grad_logprob_C) * (onehot_CV - p_CV) + column(grad_entropy_C) * of_entropy_CV) /
                       transform.temperature);
}

}  // namespace thinktune::ops
