#include "thinktune/train/update_statistics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace thinktune::train {
namespace {

double total(const at::Tensor& x) { return x.to(at::kDouble).sum().item<double>(); }

}  // namespace

void UpdateStatistics::add_micro_batch(const MicroBatch& micro, const algo::LossInputs& inputs,
                                       const algo::LossParts& parts) {
  const at::Tensor counts_M = (inputs.weights_M > 0).to(at::kDouble);
  const at::Tensor logprobs_M = inputs.logprobs_M.detach().to(at::kDouble);
  tokens_ += total(counts_M);
  guided_tokens_ += total(counts_M * inputs.guided_M);
  loss_ += parts.loss.item<double>();
  clipped_ += total(counts_M * parts.clipped_M);
  dual_clipped_ += total(counts_M * parts.dual_clipped_M);
  shaped_ += total(counts_M * parts.shaped_used_M);
  kl_old_ += total(counts_M * (inputs.old_logprobs_M.to(at::kDouble) - logprobs_M));
  if (inputs.entropy_M.defined()) entropy_ += total(counts_M * inputs.entropy_M.detach());
  if (parts.kl_M.defined()) {
    has_reference_ = true;
    kl_reference_ += total(counts_M * parts.kl_M);
  }
  ratio_max_ = std::max(ratio_max_, (parts.ratio_M.to(at::kDouble) * counts_M).max().item<double>());
  packed_tokens_ += packed_tokens(micro);

  if (num_updates_ > 0) return;  // later updates have moved away from what was sampled
  // The update's own pass, not the old log-probabilities: these may be the sampler's.
  const at::Tensor trainer_M = inputs.logprobs_M.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* trainer = trainer_M.const_data_ptr<float>();
  for (const rollout::TrainGroup& group : micro.groups) {
    for (const rollout::TrainSequence& sequence : group.sequences) {
      for (size_t i = 0; i < sequence.ids.size(); ++i, ++trainer)
        if (sequence.sampled[i]) mismatch_.push_back(std::abs(sequence.sampler_logprobs[i] - *trainer));
    }
  }
}

void UpdateStatistics::add_mini_batch(const MiniBatch& mini) {
  num_sequences_ += mini.num_sequences;
  num_left_out_ += mini.num_left_out;
  num_without_signal_ += mini.micro_batches.empty();
}

void UpdateStatistics::add_update(double grad_norm, double lr) {
  ++num_updates_;
  grad_norm_ += grad_norm;
  lr_ = lr;
}

double UpdateStatistics::largest_mismatch() const {
  return mismatch_.empty() ? 0 : static_cast<double>(*std::max_element(mismatch_.begin(), mismatch_.end()));
}

void UpdateStatistics::add_to(report::Metrics& metrics) const {
  const double updates = std::max<double>(1, static_cast<double>(num_updates_)), tokens = std::max(1.0, tokens_);
  metrics.add("loss/policy", loss_ / updates);
  metrics.add("policy/clip_share", clipped_ / tokens);
  metrics.add("policy/dual_clip_share", dual_clipped_ / tokens);
  metrics.add("policy/shaped_share", shaped_ / tokens);
  metrics.add("policy/guided_token_share", guided_tokens_ / tokens);
  metrics.add("policy/kl_to_old", kl_old_ / tokens);
  metrics.add("policy/ratio_max", ratio_max_);
  metrics.add("policy/entropy", entropy_ / tokens);
  if (has_reference_) metrics.add("policy/kl_to_reference", kl_reference_ / tokens);
  metrics.add("optim/grad_norm", grad_norm_ / updates);
  metrics.add("optim/lr", lr_);
  metrics.add("optim/updates", static_cast<double>(num_updates_));
  metrics.add("optim/updates_without_signal", static_cast<double>(num_without_signal_));
  metrics.add("update/sequences", static_cast<double>(num_sequences_ - num_left_out_));
  metrics.add("update/sequences_without_gradient", static_cast<double>(num_left_out_));
  metrics.add("update/packed_tokens", static_cast<double>(packed_tokens_));
  if (mismatch_.empty()) return;
  std::vector<float> sorted = mismatch_;
  std::sort(sorted.begin(), sorted.end());
  double sum = 0;
  for (const float d : sorted) sum += static_cast<double>(d);
  metrics.add("mismatch/max", static_cast<double>(sorted.back()));
  metrics.add("mismatch/p99", static_cast<double>(sorted[(sorted.size() - 1) * 99 / 100]));
  metrics.add("mismatch/mean", sum / static_cast<double>(sorted.size()));
}

}  // namespace thinktune::train
