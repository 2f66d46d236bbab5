// Group-relative advantages (GRPO, Shao et al. 2024; ThinkTuning "One step" 9).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "thinktune/core/options.h"

namespace thinktune::algo {

// Which rollouts of the group the mean and the deviation are taken over.
enum class Baseline { All, Unguided };
inline const core::Choices<Baseline> kBaselineNames = {{"all", Baseline::All}, {"unguided", Baseline::Unguided}};

struct AdvantageOptions {
  bool normalize_std = true;  // divide by the group's deviation; off: Dr.GRPO (Liu et al. 2025)
  double epsilon = 1e-6;
  Baseline baseline = Baseline::All;
};
void describe(core::Fields& fields, AdvantageOptions& options);
void validate(const AdvantageOptions& options);

// (r − mean) / (std + epsilon), unbiased std; a group of one: r / (1 + epsilon) as the reference has it; all rewards
// equal: exactly 0. `guided` has one entry a rollout, 1 for guided ones. With Baseline::Unguided and fewer than one
// unguided rollout all are taken; where the unguided rewards are all equal (the groups that guidance is for) their mean
// stays and the deviation is the whole group's. Rewards are finite.
std::vector<double> group_advantages(std::span<const double> rewards, std::span<const uint8_t> guided,
                                     const AdvantageOptions& options);

}  // namespace thinktune::algo
