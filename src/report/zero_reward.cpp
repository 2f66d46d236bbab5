#include "thinktune/report/zero_reward.h"

#include <fmt/format.h>

namespace thinktune::report {

std::string ZeroRewardWatcher::observe(int64_t step, const RolloutStatistics& s) {
  if (s.num_rollouts == s.num_unscored) return "";
  if (s.reward_min != 0 || s.reward_max != 0) {
    streak_ = 0;
    return "";
  }
  ++streak_;
  if (num_steps_ <= 0 || streak_ % num_steps_ != 0) return "";

  std::string text =
      fmt::format("NOTHING IS BEING LEARNED: every reward has been 0 for {} steps (up to step {}). ", streak_, step);
  const double cut_share = 1 - s.ended_share;
  if (s.unparsed_share >= 0.5)
    text += fmt::format(
        "In {:.0f} % of the last step's responses no answer could be read: does the prompt ask for the answer format "
        "that the reward "
        "reads?",
        100 * s.unparsed_share);
  else
    text += fmt::format(
        "Answers are read ({:.0f} % could not be) but none is accepted: are the gold answers right, or the problems "
        "too hard for this "
        "model?",
        100 * s.unparsed_share);
  if (cut_share >= 0.5)
    text += fmt::format(" {:.0f} % of the responses were cut at the response limit: raise it, or ask for shorter ones.",
                        100 * cut_share);
  text += " Compare text, extracted and gold in the rollouts folder.";
  return text;
}

}  // namespace thinktune::report
