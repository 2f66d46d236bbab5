#include "thinktune/reward/reward.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "reward/command.h"
#include "reward/extract.h"
#include "reward/parts.h"
#include "thinktune/core/for_each_index.h"
#include "thinktune/reward/extraction.h"

namespace thinktune::reward {
namespace {

double exact_match_value(const ExactMatchOptions& options, std::string_view extracted, std::string_view gold) {
  gold = trimmed(gold);
  extracted = trimmed(extracted);
  if (extracted.empty()) return 0;
  return (options.ignore_case ? same_letters(extracted, gold) : extracted == gold) ? 1 : 0;
}

double multiple_choice_value(std::string_view text, std::string_view gold) {
  const Found found = find_answer(text, {Rule::Choice});
  const Place wanted = choice_letter(gold);
  return found.found && wanted && same_letters(found.answer, *wanted) ? 1 : 0;
}

class WeightedReward final : public Reward {
 public:
  explicit WeightedReward(const RewardOptions& options)
      : options_(options), checker_(options.answer, "reward.answer.") {
    if (options.command.weight > 0) command_.emplace(options.command);
  }

  std::vector<Judgement> judge(std::span<const Response> responses) override {
    std::vector<Judgement> judgements(responses.size());
    core::for_each_index(std::ssize(responses), num_threads(), [&](int64_t i) {
      judgements[static_cast<size_t>(i)] = judge_text(responses[static_cast<size_t>(i)]);
    });
    if (command_) add_command(responses, judgements);
    const bool only_answer = options_.answer.weight > 0 && !has_other_parts();
    for (Judgement& judgement : judgements) {
      judgement.reward = 0;
      if (judgement.scored)
        for (const auto& part : judgement.parts) judgement.reward += part.weight * part.value;
      if (only_answer) judgement.parts.clear();
    }
    return judgements;
  }

 private:
  int64_t num_threads() const {
    return options_.threads > 0 ? options_.threads : std::max(1U, std::thread::hardware_concurrency() / 4);
  }

  bool has_other_parts() const {
    return options_.format.weight > 0 || options_.length.weight > 0 || options_.repetition.weight > 0 ||
           options_.exact_match.weight > 0 || options_.multiple_choice.weight > 0 || options_.command.weight > 0;
  }

  // Every part but the command.
  Judgement judge_text(const Response& response) const {
    Judgement judgement = checker_.judge(response.text, response.gold);
    const bool cut = options_.answer.require_end_of_turn && !response.ended;
    judgement.success = judgement.verdict == Verdict::Right && !cut;
    if (cut) judgement.reason = "cut before the response ended by itself; its answer: " + judgement.reason;
    const auto add = [&](const char* name, double weight, auto&& value) {
      if (weight > 0) judgement.parts.push_back({name, weight, value()});
    };
    add("answer", options_.answer.weight, [&] { return judgement.success ? 1.0 : 0.0; });
    add("format", options_.format.weight, [&] { return has_form(options_.format.form, response.text) ? 1.0 : 0.0; });
    add("length", options_.length.weight,
        [&] { return length_value(options_.length, response.num_tokens, judgement.success); });
    add("repetition", options_.repetition.weight, [&] { return repetition_value(options_.repetition, response.text); });
    add("exact_match", options_.exact_match.weight,
        [&] { return exact_match_value(options_.exact_match, judgement.extracted, response.gold); });
    add("multiple_choice", options_.multiple_choice.weight,
        [&] { return multiple_choice_value(response.text, response.gold); });
    return judgement;
  }

  void add_command(std::span<const Response> responses, std::vector<Judgement>& judgements) {
    const std::vector<CommandReply> replies = command_->ask(responses);
    for (size_t i = 0; i < replies.size(); ++i) {
      Judgement& judgement = judgements[i];
      if (replies[i].ok) {
        judgement.parts.push_back({"command", options_.command.weight, replies[i].reward});
        if (!replies[i].reason.empty()) judgement.reason += "; command: " + replies[i].reason;
      } else {
        judgement.scored = false;
        judgement.reason = "unscored: " + replies[i].reason + "; the answer: " + judgement.reason;
      }
    }
  }

  RewardOptions options_;
  AnswerChecker checker_;
  std::optional<CommandReward> command_;
};

}  // namespace

void judge(const std::vector<rollout::Sampled>& rollouts, Reward& reward) {
  std::vector<Response> responses;
  for (const auto& [prompt, rollout] : rollouts)
    responses.push_back({.id = prompt->id,
                         .problem = prompt->problem,
                         .gold = prompt->gold,
                         .text = rollout->text,
                         .num_tokens = std::ssize(rollout->ids),
                         .ended = rollout->finish == rollout::Finish::EndOfTurn});
  std::vector<Judgement> judgements = reward.judge(responses);
  for (size_t i = 0; i < rollouts.size(); ++i) rollouts[i].rollout->judgement = std::move(judgements[i]);
}

void judge_guided(std::vector<rollout::Group>& groups, Reward& reward) {
  std::vector<rollout::Sampled> guided;
  for (rollout::Group& group : groups)
    for (rollout::Rollout& rollout : group.rollouts)
      if (rollout.guidance.guided) guided.push_back({&group.prompt, &rollout});
  judge(guided, reward);
}

std::unique_ptr<Reward> make_reward(const RewardOptions& options) {
  validate(options);
  return std::make_unique<WeightedReward>(options);
}

}  // namespace thinktune::reward
