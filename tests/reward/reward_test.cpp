#include "thinktune/reward/reward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "support/errors.h"
#include "thinktune/core/error.h"

namespace thinktune::reward {
namespace {

using ::testing::HasSubstr;

Judgement judge(const RewardOptions& options, std::string_view text, std::string_view gold, bool ended = true) {
  const auto reward = make_reward(options);
  const std::vector<Response> responses = {{.id = "p", .gold = gold, .text = text, .num_tokens = 10, .ended = ended}};
  const auto judgements = reward->judge(responses);
  EXPECT_EQ(judgements.size(), 1u);
  return judgements.at(0);
}

TEST(Reward, IsOneForTheRightAnswerInTheLastBox) {
  const Judgement right = judge({}, R"(We add: 12 + 7 = 19. The answer is \boxed{19}.)", "19");
  EXPECT_EQ(right.verdict, Verdict::Right);
  EXPECT_EQ(right.strict, Verdict::Right);
  EXPECT_EQ(right.lenient, Verdict::Right);
  EXPECT_TRUE(right.success);
  EXPECT_TRUE(right.scored);
  EXPECT_EQ(right.reward, 1.0);
  EXPECT_EQ(right.extracted, "19");
  EXPECT_EQ(right.reason, "the same number");
  EXPECT_TRUE(right.parts.empty()) << "there is no other part";

  const Judgement wrong = judge({}, R"(\boxed{19}. No: \boxed{20})", "19");
  EXPECT_EQ(wrong.verdict, Verdict::Wrong);
  EXPECT_FALSE(wrong.success);
  EXPECT_EQ(wrong.reward, 0.0);
  EXPECT_EQ(wrong.extracted, "20");
}

TEST(Reward, StrictAndLenientAreBothComputed) {
  RewardOptions options;
  Judgement judgement = judge(options, "The answer is 19.", "19");
  EXPECT_EQ(judgement.strict, Verdict::Unparsed);
  EXPECT_EQ(judgement.lenient, Verdict::Right);
  EXPECT_EQ(judgement.verdict, Verdict::Unparsed);
  EXPECT_EQ(judgement.reward, 0.0);
  EXPECT_EQ(judgement.extracted, "");
  EXPECT_EQ(judgement.reason, "no \\boxed{} in the response");

  options.answer.decides = Decides::Lenient;
  judgement = judge(options, "The answer is 19.", "19");
  EXPECT_EQ(judgement.strict, Verdict::Unparsed);
  EXPECT_EQ(judgement.verdict, Verdict::Right);
  EXPECT_EQ(judgement.reward, 1.0);
  EXPECT_EQ(judgement.extracted, "19");
  EXPECT_EQ(judgement.reason, "the same number (found by phrase)");
}

TEST(Reward, SaysWhyThereIsNoAnswer) {
  const auto reason = [](std::string_view text, const RewardOptions& options = {}) {
    const Judgement judgement = judge(options, text, "19");
    EXPECT_EQ(judgement.verdict, Verdict::Unparsed);
    EXPECT_EQ(judgement.reward, 0.0);
    EXPECT_EQ(judgement.extracted, "");
    return judgement.reason;
  };
  EXPECT_EQ(reason(""), "no \\boxed{} in the response");
  EXPECT_EQ(reason("\\boxed{19"), "the last \\boxed{} is never closed");
  EXPECT_EQ(reason("nineteen", {.answer = {.lenient = {"box", "last_number"}, .decides = Decides::Lenient}}),
            "no \\boxed{} and no number in the response");
}

TEST(Reward, CutResponseEarnsNothingButKeepsItsVerdict) {
  const Judgement cut = judge({}, "\\boxed{19} and then", "19", false);
  EXPECT_EQ(cut.verdict, Verdict::Right);
  EXPECT_FALSE(cut.success);
  EXPECT_EQ(cut.reward, 0.0);
  EXPECT_EQ(cut.reason, "cut before the response ended by itself; its answer: the same number");
  const RewardOptions any_end = {.answer = {.require_end_of_turn = false}};
  EXPECT_EQ(judge(any_end, "\\boxed{19} and then", "19", false).reward, 1.0);
  EXPECT_EQ(judge(any_end, "\\boxed{18} and then", "19", false).reward, 0.0);
}

TEST(Reward, AThoughtIsNoStrictAnswer) {
  const Judgement judgement = judge({}, "<think>\\boxed{19}</think> Done.", "19");
  EXPECT_EQ(judgement.strict, Verdict::Unparsed);
  EXPECT_EQ(judgement.lenient, Verdict::Right);
}

TEST(Reward, ALetterIsComparedAsALetter) {
  const RewardOptions options = {.answer = {.strict = {"box", "choice"}}};
  for (const char* text : {"\\boxed{B}", "\\boxed{(B)}", "\\boxed{\\text{B}}", "\\boxed{b}", "\\boxed{B. Paris}",
                           "The answer is (B).", "Answer: B", "**B**"})
    EXPECT_EQ(judge(options, text, "B").verdict, Verdict::Right) << text;
  EXPECT_EQ(judge(options, "\\boxed{B}", "(B)").verdict, Verdict::Right);
  EXPECT_EQ(judge(options, "\\boxed{C}", "B").verdict, Verdict::Wrong);
  EXPECT_EQ(judge(options, "\\boxed{Berlin}", "B").strict, Verdict::Unparsed);
  EXPECT_EQ(judge(options, "\\boxed{b}", "x").verdict, Verdict::Wrong);
  EXPECT_NE(judge(options, "\\boxed{B + 1}", "B").verdict, Verdict::Right);
}

TEST(Reward, IsTheWeightedSumOfItsParts) {
  RewardOptions options;
  options.answer.weight = 2;
  options.format.weight = 0.5;
  options.length = {.weight = 1, .soft_limit = 8, .hard_limit = 12};
  options.repetition = {.weight = 4, .ngram_words = 1};
  options.exact_match.weight = 8;
  options.multiple_choice.weight = 16;
  const Judgement judgement = judge(options, "so so \\boxed{5}", "5");
  ASSERT_EQ(judgement.parts.size(), 6u);
  const auto value = [&](size_t i, const std::string& name) {
    EXPECT_EQ(judgement.parts[i].name, name);
    return judgement.parts[i].value;
  };
  EXPECT_EQ(value(0, "answer"), 1);
  EXPECT_EQ(value(1, "format"), 1);
  EXPECT_EQ(value(2, "length"), -0.5);
  EXPECT_NEAR(value(3, "repetition"), -1.0 / 3, 1e-15);
  EXPECT_EQ(value(4, "exact_match"), 1);
  EXPECT_EQ(value(5, "multiple_choice"), 0);
  EXPECT_NEAR(judgement.reward, 2 + 0.5 - 0.5 - 4.0 / 3 + 8, 1e-12);
}

TEST(Reward, AnswerMayHaveNoWeight) {
  const Judgement judgement = judge({.answer = {.weight = 0}, .format = {.weight = 3}}, "\\boxed{4}", "5");
  EXPECT_EQ(judgement.verdict, Verdict::Wrong);
  EXPECT_EQ(judgement.reward, 3);
  ASSERT_EQ(judgement.parts.size(), 1u);
  EXPECT_EQ(judgement.parts[0].name, "format");
  EXPECT_EQ(judgement.parts[0].weight, 3);
}

TEST(Reward, JudgesInTheOrderOfTheResponses) {
  const std::vector<Response> responses = {
      {.gold = "1", .text = "\\boxed{1}"}, {.gold = "1", .text = "\\boxed{2}"}, {}};
  const auto judgements = make_reward({})->judge(responses);
  ASSERT_EQ(judgements.size(), 3u);
  EXPECT_EQ(judgements[0].verdict, Verdict::Right);
  EXPECT_EQ(judgements[1].verdict, Verdict::Wrong);
  EXPECT_EQ(judgements[2].verdict, Verdict::Unparsed);
  EXPECT_TRUE(make_reward({})->judge({}).empty());
}

TEST(Reward, IsTheSameOnAnyNumberOfThreads) {
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i) texts.push_back(fmt::format("so \\boxed{{\\frac{{{}}}{{{}}}}}", 3 * i, i % 7));
  std::vector<Response> responses;
  for (const std::string& text : texts) responses.push_back({.gold = "\\frac{3}{1}", .text = text});
  const auto judgements_of = [&](int64_t threads) {
    RewardOptions options;
    options.threads = threads;
    std::string all;
    for (const Judgement& j : make_reward(options)->judge(responses))
      all += fmt::format("{} {} {} {}\n", j.extracted, static_cast<int>(j.verdict), j.reward, j.reason);
    return all;
  };
  const std::string alone = judgements_of(1);
  EXPECT_EQ(judgements_of(4), alone);
  EXPECT_EQ(judgements_of(0), alone);
  EXPECT_THAT(alone, HasSubstr(" 1 "));
}

TEST(RewardOptions, RefusesWhatCannotBeMeant) {
  const auto message = [](const std::function<void(RewardOptions&)>& change) {
    RewardOptions options;
    change(options);
    return test::message_of_error(core::ErrorKind::User, [&] { validate(options); });
  };
  EXPECT_NO_THROW(validate(RewardOptions{}));
  EXPECT_THAT(message([](auto& o) { o.answer.weight = 0; }), HasSubstr("the weights of all parts"));
  EXPECT_THAT(message([](auto& o) { o.answer.weight = -1; }), HasSubstr("reward.answer.weight is -1"));
  EXPECT_THAT(message([](auto& o) { o.format.weight = std::numeric_limits<double>::quiet_NaN(); }),
              HasSubstr("reward.format.weight"));
  EXPECT_THAT(message([](auto& o) { o.answer.strict = {"bx"}; }), HasSubstr("reward.answer.strict: \"bx\" is no rule"));
  EXPECT_THAT(message([](auto& o) { o.answer.lenient.clear(); }), HasSubstr("reward.answer.lenient names no rule"));
  EXPECT_THAT(message([](auto& o) { o.length.weight = 1; }), HasSubstr("reward.length.hard_limit is not set"));
  EXPECT_THAT(message([](auto& o) { o.length = {.weight = 1, .soft_limit = 9, .hard_limit = 9}; }),
              HasSubstr("reward.length.soft_limit is 9, allowed is less than hard_limit, 9"));
  EXPECT_THAT(message([](auto& o) { o.repetition.ngram_words = 0; }), HasSubstr("reward.repetition.ngram_words is 0"));
  EXPECT_THAT(message([](auto& o) { o.command.weight = 1; }), HasSubstr("reward.command.argv names no program"));
  EXPECT_THAT(message([](auto& o) { o.command.max_failure_share = 2; }), HasSubstr("reward.command.max_failure_share"));
  EXPECT_THROW(make_reward({.answer = {.weight = 0}}), core::Error);
}

TEST(RewardOptions, TheQuestionInTheBoxIsNotRewarded) {
  const std::vector<Response> responses = {{.gold = "42", .text = "\\boxed{6 \\cdot 7}"},
                                           {.gold = "42", .text = "\\boxed{6 \\cdot 7 = 42}"}};
  const std::vector<Judgement> judgements = make_reward({})->judge(responses);
  EXPECT_EQ(judgements[0].verdict, Verdict::Wrong);
  EXPECT_EQ(judgements[0].reward, 0);
  EXPECT_EQ(judgements[1].reward, 1);
  // Where nothing is learnt from it, an expression is as good as its value.
  EXPECT_EQ(AnswerChecker({}, "").judge(responses[0].text, "42").verdict, Verdict::Right);
}

// Every field of the options has its place in the description, and a text that says what it does.
class FieldNames final : public core::Fields {
 public:
  std::vector<std::string> names;
  void boolean(std::string_view name, bool&, std::string_view doc) override { add(name, doc); }
  void integer(std::string_view name, int64_t&, core::IntRange, std::string_view doc) override { add(name, doc); }
  void number(std::string_view name, double&, core::NumberRange, std::string_view doc) override { add(name, doc); }
  void text(std::string_view name, std::string&, std::string_view doc) override { add(name, doc); }
  void texts(std::string_view name, std::vector<std::string>&, std::string_view doc) override { add(name, doc); }

 protected:
  void choice_index(std::string_view name, size_t&, const std::vector<std::string_view>&,
                    std::string_view doc) override {
    add(name, doc);
  }
  bool begin_group(std::string_view name, std::string_view doc) override {
    add(name, doc);
    return true;
  }
  void end_group() override {}

 private:
  void add(std::string_view name, std::string_view doc) {
    names.emplace_back(name);
    EXPECT_GT(doc.size(), 5u) << name;
  }
};

TEST(RewardOptions, WhatCountsAsTheSameAnswerIsASetting) {
  const std::vector<Response> responses = {{.gold = "1/3", .text = "\\boxed{0.333}"}};
  EXPECT_FALSE(make_reward({})->judge(responses)[0].success);
  EXPECT_TRUE(make_reward({.answer = {.equality = {.relative_tolerance = 0.01}}})->judge(responses)[0].success);
  EXPECT_THROW(make_reward({.answer = {.equality = {.max_steps = 1}}}), core::Error);
}

TEST(RewardOptions, AreDescribed) {
  RewardOptions options;
  FieldNames fields;
  describe(fields, options);
  EXPECT_THAT(fields.names,
              ::testing::ElementsAre("answer", "weight", "strict", "lenient", "decides", "require_end_of_turn",
                                     "equality", "percent", "mixed_numbers", "reduced_fractions", "missing_base",
                                     "ordered_lists", "compare_units", "worked_out", "relative_tolerance", "max_steps",
                                     "format", "weight", "form", "length", "weight", "shape", "soft_limit",
                                     "hard_limit", "right_short", "right_long", "wrong_short", "wrong_long",
                                     "repetition", "weight", "ngram_words", "exact_match", "weight", "ignore_case",
                                     "multiple_choice", "weight", "command", "weight", "argv", "time_limit_s",
                                     "max_in_flight", "max_restarts", "max_failures", "max_failure_share", "threads"));
}

}  // namespace
}  // namespace thinktune::reward
