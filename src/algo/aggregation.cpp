// The weight of each response token in the loss of a mini-batch, so that micro-batches and ranks only sum.
//
// Σ_i the sum over the counting tokens of sequence i, n_i their number, S the number of sequences with n_i > 0:
//   token-mean               Σ_i Σ l / Σ_i n_i             weight 1 / Σ_i n_i
//   seq-mean-token-sum       (1/S) Σ_i Σ l                 weight 1 / S
//   seq-mean-token-mean      (1/S) Σ_i (Σ l / n_i)         weight 1 / (S·n_i)
//   seq-mean-token-sum-norm  Σ_i Σ l / T                   weight 1 / T
// The public code of 2025 counts sequences without tokens in S, and seq-mean-token-mean is NaN there; verl of 2026
// leaves them out, as here.
#include <algorithm>

#include "thinktune/algo/loss.h"

namespace thinktune::algo {
namespace {

int64_t num_counting(const rollout::TrainSequence& sequence) {
  TT_CHECK(sequence.loss_mask.size() == sequence.ids.size(), "a sequence of {} tokens has a loss mask of {}",
           sequence.ids.size(), sequence.loss_mask.size());
  return std::ranges::count_if(sequence.loss_mask, [](uint8_t m) { return m != 0; });
}

}  // namespace

TokenCounts count_tokens(const rollout::TrainBatch& batch) {
  TokenCounts counts;
  for (const auto& group : batch.groups) {
    for (const auto& sequence : group.sequences) {
      const int64_t n = num_counting(sequence);
      counts.num_tokens += n;
      counts.num_sequences += n > 0;
      counts.longest = std::max(counts.longest, static_cast<int64_t>(sequence.ids.size()));
    }
  }
  return counts;
}

double token_weight(int64_t num_sequence_tokens, const TokenCounts& counts, const LossOptions& options) {
  if (num_sequence_tokens == 0) return 0;
  TT_CHECK(counts.num_tokens >= num_sequence_tokens && counts.num_sequences >= 1 && counts.longest >= 1,
           "counts of another batch: {} tokens, {} sequences, longest {}, but a sequence has {} tokens",
           counts.num_tokens, counts.num_sequences, counts.longest, num_sequence_tokens);
  const auto n = static_cast<double>(num_sequence_tokens), sequences = static_cast<double>(counts.num_sequences);
  switch (options.aggregation) {
    case Aggregation::TokenMean:
      return 1 / static_cast<double>(counts.num_tokens);
    case Aggregation::SeqMeanTokenSum:
      return 1 / sequences;
    case Aggregation::SeqMeanTokenMean:
      return 1 / (sequences * n);
    case Aggregation::SeqMeanTokenSumNorm:
      return 1 / (options.sum_norm_length > 0 ? options.sum_norm_length : static_cast<double>(counts.longest));
  }
  throw core::internal_error("an aggregation without a formula");
}

std::vector<std::vector<float>> aggregation_weights(const rollout::TrainBatch& batch, const TokenCounts& counts,
                                                    const LossOptions& options) {
  std::vector<std::vector<float>> weights;
  for (const auto& group : batch.groups) {
    for (const auto& sequence : group.sequences) {
      const auto weight = static_cast<float>(token_weight(num_counting(sequence), counts, options));
      auto& row = weights.emplace_back();
      row.reserve(sequence.loss_mask.size());
      for (uint8_t m : sequence.loss_mask) row.push_back(m ? weight : 0.0F);
    }
  }
  return weights;
}

std::vector<std::vector<float>> aggregation_weights(const rollout::TrainBatch& batch, const LossOptions& options) {
  return aggregation_weights(batch, count_tokens(batch), options);
}

}  // namespace thinktune::algo
