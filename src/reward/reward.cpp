#include "thinktune/reward/reward.h"

#include "reward/extract.h"

namespace thinktune::reward {
namespace {

class AnswerReward final : public Reward {
 public:
  explicit AnswerReward(const RewardOptions& options) : options_(options) {}

  Judgement judge(std::string_view response, std::string_view gold, bool ended) const override {
    Judgement judgement = judge_answer(response, gold);
    if (options_.require_end_of_turn && !ended) {
      judgement.reward = 0;
      judgement.reason = "cut before the response ended by itself; its answer: " + judgement.reason;
    }
    return judgement;
  }

 private:
  Judgement judge_answer(std::string_view response, std::string_view gold) const {
    std::string answer;
    const BoxSearch search = search_last_box(response, answer);
    if (search == BoxSearch::Found) return compare_answers(answer, gold);
    if (options_.extraction == Extraction::BoxOrLastNumber) {
      if (find_last_number(response, answer)) {
        Judgement judgement = compare_answers(answer, gold);
        judgement.reason += " (no box: the last number was taken)";
        return judgement;
      }
      return {.reason = "no \\boxed{} and no number in the response"};
    }
    return {.reason = search == BoxSearch::NeverClosed ? "the last \\boxed{} is never closed"
                                                       : "no \\boxed{} in the response"};
  }

  RewardOptions options_;
};

}  // namespace

void describe(core::Fields& fields, RewardOptions& options) {
  fields.choice(
      "extraction", options.extraction, kExtractionNames,
      "where the final answer is looked for: the last \\boxed{} alone, or, without one, the last number of the text");
  fields.boolean("require_end_of_turn", options.require_end_of_turn,
                 "a response that was cut at the response limit earns 0, whatever it says");
}

void validate(const RewardOptions& options) { core::check_ranges(options, "reward"); }

std::unique_ptr<Reward> make_reward(const RewardOptions& options) {
  validate(options);
  return std::make_unique<AnswerReward>(options);
}

}  // namespace thinktune::reward
