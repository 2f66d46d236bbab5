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
      weights_M;       // of each response token in the mini-batch's loss, flat, in order of groups and sequences
  int64_t number = 0;  // in the mini-batch
};

// What one optimiser update learns from.
struct MiniBatch {
  std::vector<MicroBatch> micro_batches;  // all, or after keep_own those of this rank
  int64_t num_micro_batches = 0;          // of all ranks
  int64_t num_rounds = 0;                 // micro-batches of the rank that has most
  bool has_guided = false;
  int64_t num_sequences = 0;
  int64_t num_left_out = 0;  // sequences whose gradient is exactly 0
};

// Groups in order, mini_batch_prompts a mini-batch; masks come from guidance (which tokens of a guided rollout count);
// loss weights are taken over the whole mini-batch. A micro-batch has at most micro_batch_tokens packed tokens and
// never splits a sequence; a group that does not fit is divided, its prompt repeated. Sequences whose gradient is
// exactly 0 (advantage 0 without KL and entropy term, or no counting token) are counted in the weights but not
// computed: computing them would change nothing. With several ranks, but for comm.fixed_order, micro-batches are made
// smaller where that gives every rank two of them, so that work can be levelled.
std::vector<MiniBatch> make_mini_batches(const std::vector<rollout::Group>& groups, const TrainOptions& options,
                                         int64_t num_ranks = 1);

// Leaves each rank its own micro-batches: every rank's tokens are about as many, the longest micro-batch being given
// first; with comm.fixed_order micro-batch k is rank k mod num_ranks'.
void keep_own(std::vector<MiniBatch>& mini_batches, int64_t rank, int64_t num_ranks, const comm::CommOptions& options);

// Tokens of a micro-batch as the model sees them: prompts once a group, responses without their last token.
int64_t packed_tokens(const MicroBatch& micro_batch);

}  // namespace thinktune::train
