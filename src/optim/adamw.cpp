// AdamW on f32 master weights.
//
// Update t = 1, 2, … with gradient g:
//   m ← β1·m + (1 − β1)·g            v ← β2·v + (1 − β2)·g²
//   w ← w − lr·weight_decay·w        then   w ← w − lr · (m/(1 − β1^t)) / (√(v/(1 − β2^t)) + ε)
#include "thinktune/optim/adamw.h"

#include <ATen/ATen.h>

#include "thinktune/ops/device.h"

namespace thinktune::optim {

AdamW::AdamW(std::vector<at::Tensor> parameters, const OptimOptions& options)
    : options_(options), parameters_(std::move(parameters)) {
  validate(options_);
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& p = parameters_[i];
    TT_CHECK(p.defined() && p.scalar_type() == at::kFloat, "parameter {} is not f32", i);
    TT_CHECK(p.device() == parameters_[0].device(), "parameter {} is on {}, parameter 0 on {}", i, p.device().str(),
             parameters_[0].device().str());
    // The fused kernel walks memory, not strides, and does not say so.
    TT_CHECK(p.is_contiguous(), "parameter {} is not contiguous", i);
    first_moments_.push_back(at::zeros_like(p, at::MemoryFormat::Contiguous));
    second_moments_.push_back(at::zeros_like(p, at::MemoryFormat::Contiguous));
    steps_.push_back(
        at::zeros({}, p.options().requires_grad(false)));  // the kernel reads t from an f32 scalar beside the weights
  }
}

void AdamW::step(const std::vector<at::Tensor>& gradients, double lr) {
  TT_CHECK(gradients.size() == parameters_.size(), "{} gradients for {} parameters", gradients.size(),
           parameters_.size());
  std::vector<at::Tensor> contiguous;
  contiguous.reserve(gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const at::Tensor &g = gradients[i], &p = parameters_[i];
    TT_CHECK(g.defined(), "parameter {} has no gradient", i);
    TT_CHECK(g.sizes() == p.sizes() && g.scalar_type() == p.scalar_type() && g.device() == p.device(),
             "gradient {} does not match its parameter in shape, dtype or device", i);
    contiguous.push_back(g.detach().contiguous());
  }

  const ops::ProfilerRange range("optimiser");
  ++num_updates_;
  if (parameters_.empty()) return;
  at::NoGradGuard no_grad;
  at::_foreach_add_(steps_, 1);
  at::_fused_adamw_(parameters_, contiguous, first_moments_, second_moments_, /*max_exp_avg_sqs=*/at::TensorList{},
                    steps_, lr, options_.beta1, options_.beta2, options_.weight_decay, options_.epsilon,
                    /*amsgrad=*/false,
                    /*maximize=*/false);
}

void AdamW::restore(int64_t num_updates) {
  TT_CHECK(num_updates >= 0 && num_updates <= kMaxUpdates, "num_updates is {}", num_updates);
  at::NoGradGuard no_grad;
  num_updates_ = num_updates;
  for (at::Tensor& step : steps_) step.fill_(num_updates);
}

}  // namespace thinktune::optim
