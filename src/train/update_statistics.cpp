#include "thinktune/train/update_statistics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "bytes.h"
#include "thinktune/core/error.h"

namespace thinktune::train {

template <class Archive>
void serialize(Archive& archive, MicroBatchStatistics& m) {
  archive(m.mini_batch, m.micro_batch, m.loss, m.clipped, m.dual_clipped, m.shaped, m.kl_old, m.kl_reference, m.entropy,
          m.ratio_max, m.tokens, m.guided_tokens, m.packed_tokens, m.has_reference, m.mismatch);
}

namespace {

double total(const at::Tensor& x) { return x.to(at::kDouble).sum().item<double>(); }

// |sampler − trainer| of each sampled token. The update's own pass, not the old log-probabilities: these may be the
// sampler's.
std::vector<float> mismatches(const MicroBatch& micro, const algo::LossInputs& inputs) {
  std::vector<float> all;
  const at::Tensor trainer_M = inputs.logprobs_M.detach().to(at::kFloat).cpu().contiguous();
  const float* trainer = trainer_M.const_data_ptr<float>();
  for (const rollout::TrainGroup& group : micro.groups)
    for (const rollout::TrainSequence& sequence : group.sequences)
      for (size_t i = 0; i < sequence.ids.size(); ++i, ++trainer)
        if (sequence.sampled[i]) all.push_back(std::abs(sequence.sampler_logprobs[i] - *trainer));
  return all;
}

}  // namespace

void UpdateStatistics::add_micro_batch(const MicroBatch& micro, const algo::LossInputs& inputs,
                                       const algo::LossParts& parts) {
  const at::Tensor counts_M = (inputs.weights_M > 0).to(at::kDouble);
  const at::Tensor logprobs_M = inputs.logprobs_M.detach().to(at::kDouble);
  MicroBatchStatistics& m = micro_batches_.emplace_back();
  m.mini_batch = num_mini_batches_;
  m.micro_batch = micro.number;
  m.tokens = total(counts_M);
  m.guided_tokens = total(counts_M * inputs.guided_M);
  m.loss = parts.loss.item<double>();
  m.clipped = total(counts_M * parts.clipped_M);
  m.dual_clipped = total(counts_M * parts.dual_clipped_M);
  m.shaped = total(counts_M * parts.shaped_used_M);
  m.kl_old = total(counts_M * (inputs.old_logprobs_M.to(at::kDouble) - logprobs_M));
  if (inputs.entropy_M.defined()) m.entropy = total(counts_M * inputs.entropy_M.detach());
  m.has_reference = parts.kl_M.defined();
  if (m.has_reference) m.kl_reference = total(counts_M * parts.kl_M);
  m.ratio_max = (parts.ratio_M.to(at::kDouble) * counts_M).max().item<double>();
  m.packed_tokens = packed_tokens(micro);
  if (num_updates_ == 0) m.mismatch = mismatches(micro, inputs);  // later updates have moved away from what was sampled
}

void UpdateStatistics::add_mini_batch(const MiniBatch& mini) {
  ++num_mini_batches_;
  num_sequences_ += mini.num_sequences;
  num_left_out_ += mini.num_left_out;
  num_without_signal_ += mini.num_micro_batches == 0;
}

void UpdateStatistics::add_update(double grad_norm, double lr) {
  ++num_updates_;
  grad_norms_.push_back(grad_norm);
  lr_ = lr;
}

void UpdateStatistics::gather(comm::Communicator& comm) {
  if (comm.size() == 1) return;
  const std::string own = to_bytes(micro_batches_), norms = to_bytes(grad_norms_);
  micro_batches_.clear();
  for (const std::string& bytes : comm.all_gather_bytes(own, "the step's statistics"))
    for (MicroBatchStatistics& m : from_bytes<std::vector<MicroBatchStatistics>>(bytes))
      micro_batches_.push_back(std::move(m));
  std::sort(micro_batches_.begin(), micro_batches_.end(), [](const auto& a, const auto& b) {
    return std::pair(a.mini_batch, a.micro_batch) < std::pair(b.mini_batch, b.micro_batch);
  });
  const std::vector<std::string> all_norms = comm.all_gather_bytes(norms, "the gradients' norms");
  for (size_t r = 0; r < all_norms.size(); ++r)
    if (all_norms[r] != all_norms[0])
      throw core::device_error(
          fmt::format("rank {}'s gradients are others than rank 0's: their weights have drifted apart", r),
          "the last checkpoint may be affected: resume from the one before; all ranks must run the same program on "
          "the same kind of device");
}

std::vector<float> UpdateStatistics::all_mismatches() const {
  std::vector<float> all;
  for (const MicroBatchStatistics& m : micro_batches_) all.insert(all.end(), m.mismatch.begin(), m.mismatch.end());
  return all;
}

double UpdateStatistics::largest_mismatch() const {
  const std::vector<float> all = all_mismatches();
  return all.empty() ? 0 : static_cast<double>(*std::max_element(all.begin(), all.end()));
}

void UpdateStatistics::add_to(report::Metrics& metrics) const {
  MicroBatchStatistics sum;
  for (const MicroBatchStatistics& m : micro_batches_) {
    sum.loss += m.loss;
    sum.clipped += m.clipped;
    sum.dual_clipped += m.dual_clipped;
    sum.shaped += m.shaped;
    sum.kl_old += m.kl_old;
    sum.kl_reference += m.kl_reference;
    sum.entropy += m.entropy;
    sum.ratio_max = std::max(sum.ratio_max, m.ratio_max);
    sum.tokens += m.tokens;
    sum.guided_tokens += m.guided_tokens;
    sum.packed_tokens += m.packed_tokens;
    sum.has_reference |= m.has_reference;
  }
  const double grad_norm = std::accumulate(grad_norms_.begin(), grad_norms_.end(), 0.0);
  const double updates = std::max<double>(1, static_cast<double>(num_updates_)), tokens = std::max(1.0, sum.tokens);
  metrics.add("loss/policy", sum.loss / updates);
  metrics.add("policy/clip_share", sum.clipped / tokens);
  metrics.add("policy/dual_clip_share", sum.dual_clipped / tokens);
  metrics.add("policy/shaped_share", sum.shaped / tokens);
  metrics.add("policy/guided_token_share", sum.guided_tokens / tokens);
  metrics.add("policy/kl_to_old", sum.kl_old / tokens);
  metrics.add("policy/ratio_max", sum.ratio_max);
  metrics.add("policy/entropy", sum.entropy / tokens);
  if (sum.has_reference) metrics.add("policy/kl_to_reference", sum.kl_reference / tokens);
  metrics.add("optim/grad_norm", grad_norm / updates);
  metrics.add("optim/lr", lr_);
  metrics.add("optim/updates", static_cast<double>(num_updates_));
  metrics.add("optim/updates_without_signal", static_cast<double>(num_without_signal_));
  metrics.add("update/sequences", static_cast<double>(num_sequences_ - num_left_out_));
  metrics.add("update/sequences_without_gradient", static_cast<double>(num_left_out_));
  metrics.add("update/packed_tokens", static_cast<double>(sum.packed_tokens));
  std::vector<float> sorted = all_mismatches();
  if (sorted.empty()) return;
  std::sort(sorted.begin(), sorted.end());
  double mismatch = 0;
  for (const float d : sorted) mismatch += static_cast<double>(d);
  metrics.add("mismatch/max", static_cast<double>(sorted.back()));
  metrics.add("mismatch/p99", static_cast<double>(sorted[(sorted.size() - 1) * 99 / 100]));
  metrics.add("mismatch/mean", mismatch / static_cast<double>(sorted.size()));
}

}  // namespace thinktune::train
