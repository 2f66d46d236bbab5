// Settings of the policy loss: ranges, effects, and what two of them must satisfy together.
#include "thinktune/algo/loss.h"

namespace thinktune::algo {

void describe(core::Fields& fields, LossOptions& options) {
  fields.number("clip_low", options.clip_low, core::between(0.0, 1.0), "the ratio's lower bound is 1 - clip_low");
  fields.number("clip_high", options.clip_high, core::between(0.0, 100.0), "the ratio's upper bound is 1 + clip_high");
  fields.number("dual_clip", options.dual_clip, {.min = 1, .max = 1e9, .min_excluded = true},
                "at negative advantage a token's loss is at most -advantage * dual_clip");
  fields.choice("aas", options.aas, kAasNames,
                "advantage-aware shaping of guided tokens. paper: gamma by advantage; reference: as in the public "
                "code; constant: one gamma; "
                "p_over_p_plus_c: p / (p + c) instead of the ratio; off: none");
  fields.number("gamma_min", options.gamma_min, core::between(-1.0, 1.0), "aas = paper: gamma at advantage_max");
  fields.number("gamma_max", options.gamma_max, core::between(-1.0, 1.0), "aas = paper: gamma at advantage_min");
  fields.number("advantage_min", options.advantage_min, core::between(-1e6, 1e6),
                "aas = paper: advantage with gamma = gamma_max");
  fields.number("advantage_max", options.advantage_max, core::between(-1e6, 1e6),
                "aas = paper: advantage with gamma = gamma_min");
  fields.number("aas_constant", options.aas_constant, core::between(-1.0, 1.0),
                "aas = constant: gamma; aas = p_over_p_plus_c: c");
  fields.number("fallback_probability", options.fallback_probability, core::between(0.0, 1.0),
                "guided tokens with negative advantage and a probability below it are treated as unguided ones");
  fields.choice("aggregation", options.aggregation, kAggregationNames,
                "how token losses become the loss of a mini-batch");
  fields.number("sum_norm_length", options.sum_norm_length, core::between(0.0, 1e9),
                "tokens: divisor of seq-mean-token-sum-norm; 0: the longest response of the mini-batch");
  fields.boolean("single_clip_without_teacher", options.single_clip_without_teacher,
                 "leave the dual clip out of mini-batches without a guided rollout, as the public code does");
  fields.number("kl_coefficient", options.kl_coefficient, core::between(0.0, 1e3),
                "weight of the k3 divergence from the initial model; 0: off, the initial model is not evaluated");
  fields.number("entropy_coefficient", options.entropy_coefficient, core::between(0.0, 1e3),
                "weight of the entropy bonus, subtracted from the loss; 0: off");
}

void validate(const LossOptions& options) {
  core::check_ranges(options, "loss");
  if (options.advantage_min >= options.advantage_max)
    throw core::user_error(fmt::format("loss.advantage_min is {}, which is not below loss.advantage_max, {}",
                                       options.advantage_min, options.advantage_max),
                           "gamma is interpolated between the two: set advantage_min below advantage_max.");
  if (options.aas == AasMode::POverPPlusC && options.aas_constant <= 0)
    throw core::user_error(
        fmt::format("loss.aas_constant is {}, but loss.aas = p_over_p_plus_c needs it above 0", options.aas_constant),
        "0.1 is the usual value.");
  // The public code reads these four and then ignores them; here that is an error, not a surprise.
  const LossOptions published;
  if (options.aas == AasMode::Reference &&
      (options.gamma_min != published.gamma_min || options.gamma_max != published.gamma_max ||
       options.advantage_min != published.advantage_min || options.advantage_max != published.advantage_max))
    throw core::user_error(
        "loss.gamma_min, gamma_max, advantage_min and advantage_max have no effect with loss.aas = reference: gamma is "
        "-0.001 there",
        "Leave the four at their defaults, or set loss.aas to paper (gamma from the four) or constant (gamma = "
        "aas_constant).");
  if (options.sum_norm_length != 0 && options.aggregation != Aggregation::SeqMeanTokenSumNorm)
    throw core::user_error(fmt::format("loss.sum_norm_length has no effect with loss.aggregation = {}",
                                       core::name_of(kAggregationNames, options.aggregation)),
                           "Leave it at 0, or set loss.aggregation to seq-mean-token-sum-norm.");
}

}  // namespace thinktune::algo
