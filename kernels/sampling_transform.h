// What temperature, top-k and top-p make of a row of logits: the one function that the sampler and the trainer both
// call, so that their log-probabilities differ by nothing but their logits.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

struct SamplingTransform {
  double temperature = 1.0;  // > 0
  int64_t top_k = 0;         // 0 or ≥ vocabulary: all
  double top_p = 1.0;        // in (0, 1]; 1: all
};

// A token is kept if its logit (not divided by the temperature) is not below the threshold; its log-probability is
// logit / temperature − log_normalizer. A row with a NaN, or whose largest logit is infinite, has a NaN log_normalizer.
template <class A>
struct BasicRowTransform {
  A threshold;  // −infinity: all tokens are kept
  double log_normalizer;
};
using RowTransform = BasicRowTransform<float>;

// top_k: the k largest logits, and whatever equals the smallest of them. Then top_p: of these, renormalised under the
// temperature, the smallest set of largest probabilities whose sum is at least top_p, again with all ties of its
// smallest. scratch: [vocabulary], may be null if neither is in use. vocabulary ≥ 1.
template <class E>
BasicRowTransform<Accum<E>> row_transform(const E* logits, int64_t vocabulary, const SamplingTransform& transform,
                                          Accum<E>* scratch);

// The same, and one token's log-probability. A target below the threshold counts as kept, in log_normalizer, logprob
// and entropy: the sampler took it, from logits that differ in the last bits.
template <class A>
struct TargetStatistics {
  BasicRowTransform<A> row;
  double logprob;  // nats
  double entropy;  // nats, of the kept tokens' distribution
};
template <class E>
TargetStatistics<Accum<E>> target_statistics(const E* logits, int64_t vocabulary, int64_t target,
                                             const SamplingTransform& transform, Accum<E>* scratch);

}  // namespace thinktune::kernels
