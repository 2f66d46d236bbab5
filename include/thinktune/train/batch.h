// From judged rollouts to what the loss reads: mini-batches for the optimiser, micro-batches for memory.
#pragma once

#include <cstdint>
#include <vector>

#include "thinktune/rollout/types.h"
#include "thinktune/train/options.h"

namespace thinktune::train {

// Sequences of a mini-batch that are computed in one pass.
struct MicroBatch {
  std::vector<rollout::TrainGroup> groups;
  std::vector<float>
      weights_M;  // of each response token in the mini-batch's loss, flat, in order of groups and sequences
};

// What one optimiser update learns from.
struct MiniBatch {
  std::vector<MicroBatch> micro_batches;
  bool has_guided = false;
  int64_t num_sequences = 0;
  int64_t num_left_out = 0;  // sequences whose gradient is exactly 0
};

// Groups in order, mini_batch_prompts a mini-batch; masks come from guidance (which tokens of a guided rollout count);
// loss weights are taken over the whole mini-batch. A micro-batch has at most micro_batch_tokens packed tokens and
// never splits a sequence; a group that does not fit is divided, its prompt repeated. Sequences whose gradient is
// exactly 0 (advantage 0 without KL and entropy term, or no counting token) are counted in the weights but not
// computed: computing them would change nothing.
std::vector<MiniBatch> make_mini_batches(const std::vector<rollout::Group>& groups, const TrainOptions& options);

// Tokens of a micro-batch as the model sees them: prompts once a group, responses without their last token.
int64_t packed_tokens(const MicroBatch& micro_batch);

}  // namespace thinktune::train
