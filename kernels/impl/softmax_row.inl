// See kernels/softmax_row.h for what each pass gives.

template <class E>
RowMax<Accum<E>> row_max(const E* logits, int64_t vocabulary) {
  using A = Accum<E>;
  constexpr A kLowest = -__builtin_inf();
  Vec<A> max = broadcast(kLowest);
  IntVec<A> nan = {};
  over_row<A>(vocabulary, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
    const Vec<A> v = fill<A>(load(logits + i, part), kLowest, part);
    max = v > max ? v : max;
    nan |= v != v;
  });
  bool has_nan = false;
  for (int64_t i = 0; i < kLanes<A>; ++i) has_nan |= nan[i] != 0;
  return {max_lanes<A>(max), has_nan};
}

template <class E>
void row_group_max(const E* logits, int64_t vocabulary, int64_t num_groups, Accum<E>* out) {
  using A = Accum<E>;
  for (int64_t j = 0; j < num_groups; j += kLanes<A>)
    store(out + j, broadcast(static_cast<A>(-__builtin_inf())), Whole{});
  for (int64_t i = 0; i + num_groups <= vocabulary; i += num_groups) {
    for (int64_t j = 0; j < num_groups; j += kLanes<A>) {
      const Vec<A> v = load(logits + i + j, Whole{}), max = load(out + j, Whole{});
      store(out + j, v > max ? v : max, Whole{});
    }
  }
}

// What is below counts as 0: not "what is not below counts", or a NaN would vanish. Shifts end at -104, where exp is 0:
// a logit of -infinity adds 0·(-104), not NaN.
template <class E>
ExpSums row_exp_sums(const E* logits, int64_t vocabulary, Accum<E> max, double temperature, Accum<E> threshold) {
  using A = Accum<E>;
  constexpr A kVanishes = sizeof(A) == 4 ? A(-104) : A(-746);
  const A inverse_temperature = static_cast<A>(1 / temperature);
  DoubleSum exp, exp_shift;
  over_row<A>(vocabulary, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
    const Vec<A> logit = fill<A>(load(logits + i, part), static_cast<A>(-__builtin_inf()), part);
    Vec<A> shift = (logit - max) * inverse_temperature;
    shift = shift < kVanishes ? broadcast(kVanishes) : shift;
    shift = logit < threshold ? broadcast(kVanishes) : shift;
    const Vec<A> e = exp_lanes(shift);
    exp.add(e);
    exp_shift.add(e * shift);
  });
  return {exp.total(), exp_shift.total()};
}

template <class E>
void row_gradient(E* logits, int64_t vocabulary, const RowGradient& row) {
  using A = Accum<E>;
  constexpr A kVanishes = sizeof(A) == 4 ? A(-104) : A(-746);
  // log p = (logit − pivot) / temperature − rest: the subtraction of near values is exact, the rest is below one
  // rounding.
  const A pivot = static_cast<A>(row.log_normalizer * row.temperature);
  const A rest = static_cast<A>(row.log_normalizer - pivot / row.temperature);
  const A inverse_temperature = static_cast<A>(1 / row.temperature), threshold = static_cast<A>(row.threshold);
  const A from_logprob = static_cast<A>(-row.grad_logprob / row.temperature);
  const A from_entropy = static_cast<A>(-row.grad_entropy / row.temperature), entropy = static_cast<A>(row.entropy);

  const bool has_target = row.target >= 0 && row.target < vocabulary;
  double target_gradient = 0;
  if (has_target) {
    const double target_logprob = (static_cast<double>(widen(logits[row.target])) - pivot) / row.temperature -
                                  (row.log_normalizer - pivot / row.temperature);
    const double target_p = ::exp(target_logprob);
    target_gradient = -row.grad_logprob * ::expm1(target_logprob);
    if (row.grad_entropy != 0 && target_p > 0)
      target_gradient -= row.grad_entropy * target_p * (target_logprob + row.entropy);
  }

  over_row<A>(vocabulary, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
    const Vec<A> logit = load(logits + i, part);
    Vec<A> logprob = (logit - pivot) * inverse_temperature - rest;
    logprob = logprob < kVanishes ? broadcast(kVanishes) : logprob;
    const Vec<A> gradient = exp_lanes(logprob) * (from_logprob + from_entropy * (logprob + entropy));
    store(logits + i, logit < threshold ? Vec<A>{} : gradient, part);
  });
  if (has_target) logits[row.target] = narrow<E>(static_cast<A>(target_gradient / row.temperature));
}
