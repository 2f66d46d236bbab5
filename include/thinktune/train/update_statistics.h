// What a step's updates say of themselves: loss, clipping, shaping, and how far sampler and trainer are apart.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/algo/loss.h"
#include "thinktune/report/metrics.h"
#include "thinktune/train/batch.h"

namespace thinktune::train {

class UpdateStatistics {
 public:
  // One micro-batch after its forward pass.
  void add_micro_batch(const MicroBatch& micro, const algo::LossInputs& inputs, const algo::LossParts& parts);
  void add_mini_batch(const MiniBatch& mini);
  void add_update(double grad_norm, double lr);

  // loss/…, policy/…, optim/…, mismatch/…
  void add_to(report::Metrics& metrics) const;

  // Largest |sampler − trainer| of a sampled token's log-probability, nats; 0 without one.
  double largest_mismatch() const;

 private:
  double loss_ = 0, clipped_ = 0, dual_clipped_ = 0, shaped_ = 0, kl_old_ = 0, kl_reference_ = 0, entropy_ = 0,
         ratio_max_ = 0;
  double tokens_ = 0, guided_tokens_ = 0;
  int64_t num_updates_ = 0, num_without_signal_ = 0, num_sequences_ = 0, num_left_out_ = 0, packed_tokens_ = 0;
  double grad_norm_ = 0, lr_ = 0;
  bool has_reference_ = false;
  std::vector<float> mismatch_;  // |sampler − trainer| of each sampled token before the first update
};

}  // namespace thinktune::train
