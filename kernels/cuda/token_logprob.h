// Token log-probabilities from a chunk of logits, and the gradient with respect to the logits in their place: what
// src/ops/token_logprob does chunk by chunk, so that [tokens, vocabulary] is never kept.
//
// Letters: C rows of the chunk, V vocabulary.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/sampling_transform.h"

namespace thinktune::kernels::cuda {

// All [C]. log_normalizer: log-probability of a kept token = logit / temperature − it.
struct RowStatistics {
  float* logprob = nullptr;
  float* entropy = nullptr;
  float* threshold = nullptr;
  double* log_normalizer = nullptr;
};

// kernels::target_statistics of every row: a target below the threshold counts as kept; a row with a NaN, or whose
// largest logit is infinite, gets NaN. logits: [C, V] contiguous, V ≤ 2^20; targets: [C], each in [0, V). Terms in
// float, sums in double. Thresholds of top_k are exact, those of top_p to the rounding of exp.
template <class E>
void row_statistics(const E* logits, const int64_t* targets, int64_t num_rows, int64_t vocabulary,
                    const SamplingTransform& transform, const RowStatistics& out, Stream stream);

struct RowGradients {
  const int64_t* targets = nullptr;  // counted from the first of the columns given; outside of them: another part's
  const float* entropy = nullptr;    // of row_statistics, as the next two
  const float* threshold = nullptr;
  const double* log_normalizer = nullptr;
  const double* grad_logprob = nullptr;
  const double* grad_entropy = nullptr;  // 0: the entropy takes no part
};

// kernels::row_gradient of every row. logits: [C, columns] contiguous, all of a vocabulary or a part of it.
template <class E>
void row_gradients(E* logits, int64_t num_rows, int64_t columns, double temperature, const RowGradients& rows,
                   Stream stream);

}  // namespace thinktune::kernels::cuda
