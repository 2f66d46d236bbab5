// What a step's rollouts have in common, counted in one place for the metrics, the console line and the watcher.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thinktune/report/metrics.h"
#include "thinktune/rollout/types.h"

namespace thinktune::report {

// Shares are of all rollouts unless said otherwise, and NaN where there is nothing to take a share of; lengths are in
// tokens, the end-of-turn token included. "Own": the student's response as it was before guidance.
struct RolloutStatistics {
  int64_t num_prompts = 0;
  int64_t num_rollouts = 0;
  int64_t num_selected = 0;  // guidance was tried
  int64_t num_guided = 0;    // the teacher's words stand in the response
  int64_t num_unscored = 0;  // a part of the reward could not be computed; rewards below are of the others
  double reward_mean = 0;
  double reward_std = 0;  // over the step, divided by the number
  double reward_min = 0;
  double reward_max = 0;
  double own_reward_mean = 0;
  double right_share = 0;  // by the verdict that decides
  double strict_share = 0;
  double lenient_share = 0;
  double unparsed_share = 0;
  double ended_share = 0;  // ended by themselves
  double length_mean = 0;
  double length_max = 0;
  double own_length_mean = 0;     // of unguided rollouts
  double guided_length_mean = 0;  // of guided rollouts
  double no_success_share = 0;    // of groups: no rollout was a success, before guidance
  double equal_reward_share = 0;  // of groups: all rewards equal, so nothing to learn from
  double guided_share = 0;
  double valid_share = 0;          // of selected rollouts: the teacher's reply could be read
  double opinion_right_share = 0;  // of valid replies: the opinion agrees with the verifier
  int64_t num_wrong_to_right = 0;  // guided rollouts whose answer was not right before and is now
  int64_t num_right_to_wrong = 0;
  std::map<std::string, double> part_means;  // RewardPart::name → mean value, where there are others than the answer
  std::map<std::string, int64_t> outcomes;   // Guidance::outcome → rollouts, of selected ones
};

// A function of the groups alone; the rollouts must have been judged.
RolloutStatistics summarise(const std::vector<rollout::Group>& groups);

// Adds reward/…, answer/…, response/…, groups/… and, where rollouts were selected, guidance/…. Leaves out what is NaN
// because there was nothing to count.
void add_to(Metrics& metrics, const RolloutStatistics& statistics);

}  // namespace thinktune::report
