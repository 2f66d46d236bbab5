// Passes over one row of logits, from which sampling_transform.h and the token log-probabilities are made. E: float,
// Bf16 or double.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

template <class A>
struct RowMax {
  A max;         // −infinity for an empty row
  bool has_nan;  // then max is the largest of the others
};
template <class E>
RowMax<Accum<E>> row_max(const E* logits, int64_t vocabulary);

// out[j] = max_i logits[i · num_groups + j]; elements behind the last whole group are left out. num_groups: a multiple
// of 16.
template <class E>
void row_group_max(const E* logits, int64_t vocabulary, int64_t num_groups, Accum<E>* out);

// With s = (logit − max) / temperature, over the logits that are not below the threshold: Σ exp(s) and Σ exp(s)·s.
// Terms in Accum<E>, sums in double in a fixed order.
struct ExpSums {
  double exp = 0;
  double exp_shift = 0;
};
template <class E>
ExpSums row_exp_sums(const E* logits, int64_t vocabulary, Accum<E> max, double temperature, Accum<E> threshold);

// What row_gradient needs to know about a row; see sampling_transform.h for the meaning of the fields.
struct RowGradient {
  int64_t target = 0;  // outside the row: among logits that are not given
  double temperature = 1;
  double threshold = 0;       // exactly representable in Accum<E>
  double log_normalizer = 0;  // over the kept set with the target in it
  double entropy = 0;
  double grad_logprob = 0;
  double grad_entropy = 0;  // 0: the entropy takes no part
};

// In place, logits → gradient with respect to the logits, for p = exp(logit / temperature − log_normalizer), log p its
// logarithm:
//   (grad_logprob · (1[target] − p) − grad_entropy · p · (log p + entropy)) / temperature    for kept tokens, 0 for
//   dropped ones.
template <class E>
void row_gradient(E* logits, int64_t vocabulary, const RowGradient& row);

// out = exp(x). Float: at most 2 units in the last place (results below 2^-126 lose bits as denormals do); Bf16: that,
// rounded.
template <class E>
void exp_row(const E* x, int64_t n, E* out);

}  // namespace thinktune::kernels
