#include "thinktune/reward/reward.h"

#include <gtest/gtest.h>

namespace thinktune::reward {
namespace {

TEST(Reward, IsOneForTheRightAnswerInTheLastBox) {
  const auto reward = make_reward({});
  const Judgement right = reward->judge(R"(We add: 12 + 7 = 19. The answer is \boxed{19}.)", "19", true);
  EXPECT_EQ(right.verdict, Verdict::Right);
  EXPECT_EQ(right.reward, 1.0);
  EXPECT_EQ(right.extracted, "19");
  EXPECT_EQ(right.reason, "the same number");

  const Judgement wrong = reward->judge(R"(\boxed{19}. No: \boxed{20})", "19", true);
  EXPECT_EQ(wrong.verdict, Verdict::Wrong);
  EXPECT_EQ(wrong.reward, 0.0);
  EXPECT_EQ(wrong.extracted, "20");
}

TEST(Reward, SaysWhyThereIsNoAnswer) {
  const auto box = make_reward({});
  const auto number = make_reward({.extraction = Extraction::BoxOrLastNumber});
  const auto reason = [](const auto& reward, std::string_view response) {
    const Judgement judgement = reward->judge(response, "19", true);
    EXPECT_EQ(judgement.verdict, Verdict::Unparsed);
    EXPECT_EQ(judgement.reward, 0.0);
    EXPECT_EQ(judgement.extracted, "");
    return judgement.reason;
  };
  EXPECT_EQ(reason(box, "The answer is 19."), "no \\boxed{} in the response");
  EXPECT_EQ(reason(box, ""), "no \\boxed{} in the response");
  EXPECT_EQ(reason(box, "\\boxed{19"), "the last \\boxed{} is never closed");
  EXPECT_EQ(reason(box, "\\boxed{}"), "the answer is empty");
  EXPECT_EQ(reason(number, "nineteen"), "no \\boxed{} and no number in the response");
}

TEST(Reward, TakesTheLastNumberOnlyWithoutABox) {
  const auto reward = make_reward({.extraction = Extraction::BoxOrLastNumber});
  const Judgement number = reward->judge("12 + 7 = 19.", "19", true);
  EXPECT_EQ(number.reward, 1.0);
  EXPECT_EQ(number.extracted, "19");
  EXPECT_EQ(number.reason, "the same number (no box: the last number was taken)");
  EXPECT_EQ(reward->judge("\\boxed{20}, or 19", "19", true).reward, 0.0);
  EXPECT_EQ(reward->judge("so \\boxed{19", "19", true).reward, 1.0);
}

TEST(Reward, CutResponseEarnsNothingButKeepsItsVerdict) {
  const Judgement cut = make_reward({})->judge("\\boxed{19} and then", "19", false);
  EXPECT_EQ(cut.verdict, Verdict::Right);
  EXPECT_EQ(cut.reward, 0.0);
  EXPECT_EQ(cut.reason, "cut before the response ended by itself; its answer: the same number");

  const auto lenient = make_reward({.require_end_of_turn = false});
  EXPECT_EQ(lenient->judge("\\boxed{19} and then", "19", false).reward, 1.0);
  EXPECT_EQ(lenient->judge("\\boxed{18} and then", "19", false).reward, 0.0);
}

class FieldNames final : public core::Fields {
 public:
  std::vector<std::string> names;
  void boolean(std::string_view name, bool&, std::string_view) override { names.emplace_back(name); }
  void integer(std::string_view name, int64_t&, core::IntRange, std::string_view) override { names.emplace_back(name); }
  void number(std::string_view name, double&, core::NumberRange, std::string_view) override {
    names.emplace_back(name);
  }
  void text(std::string_view name, std::string&, std::string_view) override { names.emplace_back(name); }
  void texts(std::string_view name, std::vector<std::string>&, std::string_view) override { names.emplace_back(name); }

 protected:
  void choice_index(std::string_view name, size_t& index, const std::vector<std::string_view>& choices,
                    std::string_view) override {
    names.emplace_back(name);
    index = choices.size() - 1;
  }
  bool begin_group(std::string_view, std::string_view) override { return true; }
  void end_group() override {}
};

TEST(RewardOptions, AreDescribed) {
  RewardOptions options;
  FieldNames fields;
  describe(fields, options);
  EXPECT_EQ(fields.names, (std::vector<std::string>{"extraction", "require_end_of_turn"}));
  EXPECT_EQ(options.extraction, Extraction::BoxOrLastNumber);
  EXPECT_NO_THROW(validate(options));
}

}  // namespace
}  // namespace thinktune::reward
