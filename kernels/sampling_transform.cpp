// Which tokens a transform keeps, and the normaliser over them. V tokens of vocabulary.
#include "kernels/sampling_transform.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/softmax_row.h"

namespace thinktune::kernels {
namespace {

template <class A>
constexpr A kKeepsAll = -std::numeric_limits<A>::infinity();

// Copies the logits that are not below `bound`; returns how many. out: room for all.
template <class E>
int64_t gather(const E* logits, int64_t vocabulary, Accum<E> bound, Accum<E>* out) {
  int64_t count = 0;
  for (int64_t i = 0; i < vocabulary; ++i) {
    out[count] = widen(logits[i]);
    count += out[count] >= bound;  // no branch: which logits pass is random to the processor
  }
  return count;
}

// The k-th largest logit. The k-th largest of the maxima of disjoint groups cannot be above it, and few logits pass
// that bound: with k far below the number of groups this leaves little to select from.
template <class E>
Accum<E> kth_largest(const E* logits, int64_t vocabulary, int64_t k, Accum<E>* scratch) {
  constexpr int64_t kGroups = 1024;
  Accum<E> bound = kKeepsAll<Accum<E>>;
  if (2 * k <= kGroups && vocabulary >= 4 * kGroups) {
    row_group_max(logits, vocabulary, kGroups, scratch);
    std::nth_element(scratch, scratch + k - 1, scratch + kGroups, std::greater<>());
    bound = scratch[k - 1];
  }
  const int64_t count = gather(logits, vocabulary, bound, scratch);
  std::nth_element(scratch, scratch + k - 1, scratch + count, std::greater<>());
  return scratch[k - 1];
}

// The smallest logit of the smallest set of largest probabilities that reaches top_p of `total` = Σ exp((logit −
// max)/temperature) over the logits not below `threshold`. Tokens with a share below (1 − top_p)/V cannot be in that
// set: all of them together do not fill what it leaves out (half of that is taken, for the rounding of the sums). The
// rest is sorted as far as needed.
template <class E>
Accum<E> nucleus_threshold(const E* logits, int64_t vocabulary, Accum<E> max, double total, Accum<E> threshold,
                           const SamplingTransform& transform, Accum<E>* scratch) {
  using A = Accum<E>;
  const double share = 0.5 * (1 - transform.top_p) / static_cast<double>(vocabulary);
  const A bound = std::max(threshold, static_cast<A>(max + transform.temperature * std::log(share * total)));
  const int64_t count = gather(logits, vocabulary, bound, scratch);
  double sum = 0;
  int64_t sorted = 0;
  for (int64_t next = 256; sorted < count; next *= 4) {
    const int64_t end = std::min(next, count);
    if (end < count) std::nth_element(scratch + sorted, scratch + end, scratch + count, std::greater<>());
    std::sort(scratch + sorted, scratch + end, std::greater<>());
    for (; sorted < end; ++sorted) {
      sum += std::exp((static_cast<double>(scratch[sorted]) - max) / transform.temperature);
      if (sum >= transform.top_p * total) return scratch[sorted];
    }
  }
  return bound;
}

template <class A>
struct KeptSet {
  A max;
  A threshold;
  ExpSums sums;  // over the kept tokens, relative to max
};

template <class E>
KeptSet<Accum<E>> kept_set(const E* logits, int64_t vocabulary, const SamplingTransform& transform, Accum<E>* scratch) {
  using A = Accum<E>;
  const RowMax<A> row = row_max(logits, vocabulary);
  // Selection needs an order, which a NaN does not have; the sums carry it on.
  if (row.has_nan || !std::isfinite(row.max)) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {row.max, kKeepsAll<A>, {nan, nan}};
  }
  A threshold = kKeepsAll<A>;
  if (transform.top_k > 0 && transform.top_k < vocabulary)
    threshold = kth_largest(logits, vocabulary, transform.top_k, scratch);
  ExpSums sums = row_exp_sums(logits, vocabulary, row.max, transform.temperature, threshold);
  if (transform.top_p < 1) {
    threshold = nucleus_threshold(logits, vocabulary, row.max, sums.exp, threshold, transform, scratch);
    sums = row_exp_sums(logits, vocabulary, row.max, transform.temperature, threshold);
  }
  return {row.max, threshold, sums};
}

}  // namespace

template <class E>
BasicRowTransform<Accum<E>> row_transform(const E* logits, int64_t vocabulary, const SamplingTransform& transform,
                                          Accum<E>* scratch) {
  const KeptSet<Accum<E>> kept = kept_set(logits, vocabulary, transform, scratch);
  return {kept.threshold, static_cast<double>(kept.max) / transform.temperature + std::log(kept.sums.exp)};
}

template <class E>
TargetStatistics<Accum<E>> target_statistics(const E* logits, int64_t vocabulary, int64_t target,
                                             const SamplingTransform& transform, Accum<E>* scratch) {
  KeptSet<Accum<E>> kept = kept_set(logits, vocabulary, transform, scratch);
  const Accum<E> logit = widen(logits[target]);
  if (logit < kept.threshold) {
    const double shift = (static_cast<double>(logit) - kept.max) / transform.temperature;
    const double e = std::exp(shift);
    kept.sums.exp += e;
    if (e > 0) kept.sums.exp_shift += e * shift;
  }
  const double log_sum = std::log(kept.sums.exp);
  const double log_normalizer = static_cast<double>(kept.max) / transform.temperature + log_sum;
  double entropy = log_sum - kept.sums.exp_shift / kept.sums.exp;
  if (entropy < 0) entropy = 0;  // a rounding below; a NaN stays
  return {
      {kept.threshold, log_normalizer}, static_cast<double>(logit) / transform.temperature - log_normalizer, entropy};
}

#define TT_INSTANTIATE(E)                                                                                     \
  template BasicRowTransform<Accum<E>> row_transform(const E*, int64_t, const SamplingTransform&, Accum<E>*); \
  template TargetStatistics<Accum<E>> target_statistics(const E*, int64_t, int64_t, const SamplingTransform&, \
                                                        Accum<E>*);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
TT_INSTANTIATE(double)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels
