#include "thinktune/report/rollout_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace thinktune::report {
namespace {

using rollout::Rollout;
using rollout::Verdict;

double share(double count, int64_t of) {
  return of > 0 ? count / static_cast<double>(of) : std::numeric_limits<double>::quiet_NaN();
}

bool is_selected(const Rollout& r) { return r.guidance.guided || !r.guidance.outcome.empty(); }

// The student's own response, as it was judged before the teacher's words came in.
const rollout::Judgement& own(const Rollout& r) { return is_selected(r) ? r.guidance.before : r.judgement; }

// Sums over rollouts, before they are divided.
struct Sums {
  double reward = 0, reward2 = 0, own_reward = 0, length = 0, guided_length = 0;
  int64_t own_scored = 0, right = 0, strict = 0, lenient = 0, unparsed = 0, ended = 0, valid = 0, opinion_right = 0;
};

void count_guidance(const Rollout& r, RolloutStatistics& s, Sums& sums) {
  ++s.num_selected;
  ++s.outcomes[r.guidance.outcome];
  if (!r.guidance.opinion.empty()) {
    ++sums.valid;
    sums.opinion_right += (r.guidance.opinion == "correct") == (r.guidance.before.verdict == Verdict::Right);
  }
  if (!r.guidance.guided) return;
  ++s.num_guided;
  sums.guided_length += static_cast<double>(r.ids.size());
  const bool was_right = r.guidance.before.verdict == Verdict::Right;
  const bool is_right = r.judgement.verdict == Verdict::Right;
  s.num_wrong_to_right += !was_right && is_right;
  s.num_right_to_wrong += was_right && !is_right;
}

void count_reward(const Rollout& r, RolloutStatistics& s, Sums& sums) {
  if (own(r).scored) {
    ++sums.own_scored;
    sums.own_reward += own(r).reward;
  }
  if (!r.judgement.scored) {
    ++s.num_unscored;
    return;
  }
  const double reward = r.judgement.reward;
  const bool first = s.num_rollouts == s.num_unscored;
  s.reward_min = first ? reward : std::min(s.reward_min, reward);
  s.reward_max = first ? reward : std::max(s.reward_max, reward);
  sums.reward += reward;
  sums.reward2 += reward * reward;
  for (const rollout::RewardPart& part : r.judgement.parts) s.part_means[part.name] += part.value;
}

void count(const Rollout& r, RolloutStatistics& s, Sums& sums) {
  count_reward(r, s, sums);
  ++s.num_rollouts;
  sums.length += static_cast<double>(r.ids.size());
  s.length_max = std::max(s.length_max, static_cast<double>(r.ids.size()));
  sums.right += r.judgement.verdict == Verdict::Right;
  sums.strict += r.judgement.strict == Verdict::Right;
  sums.lenient += r.judgement.lenient == Verdict::Right;
  sums.unparsed += r.judgement.verdict == Verdict::Unparsed;
  sums.ended += r.finish == rollout::Finish::EndOfTurn;
  if (is_selected(r)) count_guidance(r, s, sums);
}

// Nothing to learn from: the rewards that there are are all the same.
bool rewards_are_equal(const std::vector<Rollout>& rollouts) {
  const Rollout* first = nullptr;
  for (const Rollout& r : rollouts) {
    if (!r.judgement.scored) continue;
    if (first == nullptr) first = &r;
    if (r.judgement.reward != first->judgement.reward) return false;
  }
  return true;
}

}  // namespace

RolloutStatistics summarise(const std::vector<rollout::Group>& groups) {
  RolloutStatistics s;
  Sums sums;
  int64_t num_groups = 0, no_success = 0, equal = 0;
  for (const rollout::Group& group : groups) {
    for (const Rollout& r : group.rollouts) count(r, s, sums);
    if (group.rollouts.empty()) continue;
    ++num_groups;
    const auto& rollouts = group.rollouts;
    no_success += std::none_of(rollouts.begin(), rollouts.end(), [](const Rollout& r) { return own(r).success; });
    equal += rewards_are_equal(rollouts);
  }
  const int64_t n = s.num_rollouts, num_scored = n - s.num_unscored;
  s.num_prompts = static_cast<int64_t>(groups.size());
  s.reward_mean = share(sums.reward, num_scored);
  s.reward_std = std::sqrt(std::max(0.0, share(sums.reward2, num_scored) - s.reward_mean * s.reward_mean));
  s.own_reward_mean = share(sums.own_reward, sums.own_scored);
  for (auto& [name, mean] : s.part_means) mean = share(mean, num_scored);
  s.right_share = share(static_cast<double>(sums.right), n);
  s.strict_share = share(static_cast<double>(sums.strict), n);
  s.lenient_share = share(static_cast<double>(sums.lenient), n);
  s.unparsed_share = share(static_cast<double>(sums.unparsed), n);
  s.ended_share = share(static_cast<double>(sums.ended), n);
  s.length_mean = share(sums.length, n);
  s.guided_length_mean = share(sums.guided_length, s.num_guided);
  s.own_length_mean = share(sums.length - sums.guided_length, n - s.num_guided);
  s.no_success_share = share(static_cast<double>(no_success), num_groups);
  s.equal_reward_share = share(static_cast<double>(equal), num_groups);
  s.guided_share = share(static_cast<double>(s.num_guided), n);
  s.valid_share = share(static_cast<double>(sums.valid), s.num_selected);
  s.opinion_right_share = share(static_cast<double>(sums.opinion_right), sums.valid);
  return s;
}

void add_to(Metrics& metrics, const RolloutStatistics& s) {
  metrics.add("response/count", static_cast<double>(s.num_rollouts));
  if (s.num_rollouts == 0) return;
  metrics.add("reward/unscored", static_cast<double>(s.num_unscored));
  if (s.num_unscored < s.num_rollouts) {
    metrics.add("reward/mean", s.reward_mean);
    metrics.add("reward/std", s.reward_std);
  }
  if (!std::isnan(s.own_reward_mean)) metrics.add("reward/own_mean", s.own_reward_mean);
  for (const auto& [name, mean] : s.part_means) metrics.add("reward/part/" + name, mean);
  metrics.add("answer/right", s.right_share);
  metrics.add("answer/strict", s.strict_share);
  metrics.add("answer/lenient", s.lenient_share);
  metrics.add("answer/unparsed", s.unparsed_share);
  metrics.add("response/ended", s.ended_share);
  metrics.add("response/tokens_mean", s.length_mean);
  metrics.add("response/tokens_max", s.length_max);
  metrics.add("groups/without_success", s.no_success_share);
  metrics.add("groups/equal_rewards", s.equal_reward_share);
  metrics.add("guidance/guided", s.guided_share);
  if (s.num_selected == 0) return;
  metrics.add("guidance/selected", static_cast<double>(s.num_selected));
  metrics.add("guidance/valid", s.valid_share);
  metrics.add("guidance/wrong_to_right", static_cast<double>(s.num_wrong_to_right));
  metrics.add("guidance/right_to_wrong", static_cast<double>(s.num_right_to_wrong));
  if (!std::isnan(s.opinion_right_share)) metrics.add("guidance/opinion_right", s.opinion_right_share);
  if (s.num_guided > 0) metrics.add("guidance/tokens_mean", s.guided_length_mean);
  for (const auto& [outcome, num] : s.outcomes) metrics.add("guidance/outcome/" + outcome, static_cast<double>(num));
}

}  // namespace thinktune::report
