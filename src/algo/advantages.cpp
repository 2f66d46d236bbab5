// Group-relative advantages.
//
//   a_i = (r_i − mean) / (std + ε)      std unbiased (divided by n − 1), over the rollouts that the baseline names
//   a_i = r_i − mean                    without the division (Dr.GRPO)
//   n = 1: mean = 0, std = 1, as the reference has it;  all rewards equal: a_i = 0 exactly
#include "thinktune/algo/advantages.h"

#include <algorithm>
#include <cmath>

namespace thinktune::algo {

void describe(core::Fields& fields, AdvantageOptions& options) {
  fields.boolean(
      "normalize_std", options.normalize_std,
      "divide by the standard deviation of the group's rewards; false: Dr.GRPO, the difference from the mean alone");
  fields.number("epsilon", options.epsilon, core::between(0.0, 1.0),
                "added to the standard deviation, in units of reward");
  fields.choice("baseline", options.baseline, kBaselineNames,
                "rollouts that mean and deviation are taken over: all of the group, or only those that the teacher did "
                "not guide");
}

void validate(const AdvantageOptions& options) { core::check_ranges(options, "advantage"); }

namespace {

struct Moments {
  double mean = 0;
  double std = 0;  // unbiased
};

// Equal rewards give a deviation of exactly 0; the two-pass sum alone leaves rounding noise where the mean is inexact
// (0.1 five times), which the division by ε would blow up.
Moments moments(std::span<const double> rewards) {
  const auto n = static_cast<double>(rewards.size());
  if (std::ranges::all_of(rewards, [&](double r) { return r == rewards[0]; })) return {rewards[0], 0};
  double sum = 0;
  for (double r : rewards) sum += r;
  const double mean = sum / n;
  double squares = 0;
  for (double r : rewards) squares += (r - mean) * (r - mean);
  return {mean, std::sqrt(squares / (n - 1))};
}

// With the unguided baseline the deviation of the unguided rollouts is 0 in the very groups that guidance is for (all
// of them failed, or there is only one): dividing by ε would make an advantage of 1e6 there. The whole group's
// deviation stands in.
Moments baseline_moments(std::span<const double> rewards, std::span<const uint8_t> guided, Baseline baseline) {
  const Moments all = moments(rewards);
  if (baseline == Baseline::All) return all;
  std::vector<double> unguided;
  for (size_t i = 0; i < rewards.size(); ++i)
    if (!guided[i]) unguided.push_back(rewards[i]);
  if (unguided.empty()) return all;
  Moments taken = moments(unguided);
  if (taken.std == 0) taken.std = all.std;
  return taken;
}

}  // namespace

std::vector<double> group_advantages(std::span<const double> rewards, std::span<const uint8_t> guided,
                                     const AdvantageOptions& options) {
  TT_CHECK(rewards.size() == guided.size(), "{} rewards, {} guided flags", rewards.size(), guided.size());
  for (size_t i = 0; i < rewards.size(); ++i) TT_CHECK(std::isfinite(rewards[i]), "reward {} is {}", i, rewards[i]);
  if (rewards.empty()) return {};

  const Moments m =
      rewards.size() == 1 ? Moments{.mean = 0, .std = 1} : baseline_moments(rewards, guided, options.baseline);
  std::vector<double> advantages;
  advantages.reserve(rewards.size());
  for (double r : rewards) {
    const double difference = r - m.mean;
    const bool divide = options.normalize_std && difference != 0;  // 0 stays 0 when std and epsilon are both 0
    advantages.push_back(divide ? difference / (m.std + options.epsilon) : difference);
  }
  return advantages;
}

}  // namespace thinktune::algo
