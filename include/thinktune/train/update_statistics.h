// What a step's updates say of themselves: loss, clipping, shaping, and how far sampler and trainer are apart.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/algo/loss.h"
#include "thinktune/comm/communicator.h"
#include "thinktune/report/metrics.h"
#include "thinktune/train/batch.h"

namespace thinktune::train {

// Of one micro-batch. Sums over the tokens that count, but for what says otherwise.
struct MicroBatchStatistics {
  int64_t mini_batch = 0, micro_batch = 0;  // numbers, which give the order of all sums over micro-batches
  double loss = 0, clipped = 0, dual_clipped = 0, shaped = 0, kl_old = 0, kl_reference = 0, entropy = 0;
  double ratio_max = 0;
  double tokens = 0, guided_tokens = 0;
  int64_t packed_tokens = 0;
  bool has_reference = false;
  std::vector<float> mismatch;  // |sampler − trainer| of each sampled token, before the first update
};

class UpdateStatistics {
 public:
  // One micro-batch after its forward pass.
  void add_micro_batch(const MicroBatch& micro, const algo::LossInputs& inputs, const algo::LossParts& parts);
  void add_mini_batch(const MiniBatch& mini);
  void add_update(double grad_norm, double lr);

  // After the step's last update, on every rank: the micro-batches of all ranks. Everything else is the same on all of
  // them anyway; throws Error{Device} if the gradients' norms are not, for then the ranks' weights have drifted apart.
  void gather(comm::Communicator& comm);

  // loss/…, policy/…, optim/…, mismatch/…
  void add_to(report::Metrics& metrics) const;

  // Largest |sampler − trainer| of a sampled token's log-probability, nats; 0 without one.
  double largest_mismatch() const;

 private:
  std::vector<float> all_mismatches() const;

  std::vector<MicroBatchStatistics> micro_batches_;
  int64_t num_mini_batches_ = 0, num_updates_ = 0, num_without_signal_ = 0, num_sequences_ = 0, num_left_out_ = 0;
  std::vector<double> grad_norms_;
  double lr_ = 0;
};

}  // namespace thinktune::train
