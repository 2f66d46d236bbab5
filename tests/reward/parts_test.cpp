#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <numbers>

#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

// The value of the only part with a weight.
double value(RewardOptions options, std::string_view text, std::string_view gold = "5", int64_t num_tokens = 1) {
  options.answer.weight = 0;
  const std::vector<Response> responses = {{.gold = gold, .text = text, .num_tokens = num_tokens}};
  return make_reward(options)->judge(responses).at(0).reward;
}

double form(Form form, std::string_view text) { return value({.format = {.weight = 1, .form = form}}, text); }

TEST(Format, BoxStandsOnceAtTheEnd) {
  for (const char* text : {"\\boxed{5}", "so $\\boxed{5}$.", "\\[\n\\boxed{5}\n\\]", "**Answer:** \\(\\fbox{x}\\)**",
                           "\\begin{align*}x &= \\boxed{5}.\n\\end{align*}\n"})
    EXPECT_EQ(form(Form::Box, text), 1) << text;
  for (const char* text :
       {"", "5", "\\boxed{}", "\\boxed{5", "\\boxed{5} is it", "\\boxed{5} 6", "\\boxed{4} \\boxed{5}",
        "\\boxed{\\boxed{5}}", "in \\boxed form: \\boxed{5}", "\\boxed{5} だ"})
    EXPECT_EQ(form(Form::Box, text), 0) << text;
}

TEST(Format, TagsStandOnceInOrder) {
  for (const char* text : {"<think>a</think><answer>5</answer>", " <think>\na\n</think>\n\n<answer>\n5\n</answer>\n",
                           "<think></think><answer></answer>"})
    EXPECT_EQ(form(Form::Tags, text), 1) << text;
  for (const char* text :
       {"", "<answer>5</answer>", "a</think><answer>5</answer>", "<think>a</think>5", "<think>a</think><answer>5",
        "x<think>a</think><answer>5</answer>", "<think>a</think>x<answer>5</answer>",
        "<think>a</think><answer>5</answer>x", "<think>a</think><answer>5</answer><answer>6</answer>",
        "<think>a</think><think>b</think><answer>5</answer>", "<think><think>a</think><answer>5</answer>",
        "<think>a<answer></think>5</answer>", "<answer>5</answer><think>a</think>", "</think><think><answer></answer>"})
    EXPECT_EQ(form(Form::Tags, text), 0) << text;
}

TEST(Format, OpenedTagsNeedNoFirstTag) {
  EXPECT_EQ(form(Form::OpenedTags, "a</think><answer>5</answer>"), 1);
  EXPECT_EQ(form(Form::OpenedTags, "<think>a</think><answer>5</answer>"), 1);
  EXPECT_EQ(form(Form::OpenedTags, "a<think>b</think><answer>5</answer>"), 0);
  EXPECT_EQ(form(Form::OpenedTags, "a<answer>5</answer>"), 0);
}

TEST(Length, SoftOverlongFallsFromSoftToHardLimit) {
  const RewardOptions options = {.length = {.weight = 1, .soft_limit = 100, .hard_limit = 120}};
  const auto at = [&](int64_t n) { return value(options, "", "", n); };
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(100), 0);
  EXPECT_EQ(at(101), -0.05);
  EXPECT_EQ(at(110), -0.5);
  EXPECT_EQ(at(120), -1);
  EXPECT_EQ(at(121), -1);
  EXPECT_EQ(at(1'000'000), -1);
}

TEST(Length, CosineGoesFromShortToLong) {
  const RewardOptions options = {.length = {.weight = 1, .shape = LengthShape::Cosine, .hard_limit = 100}};
  const auto right = [&](int64_t n) { return value(options, "\\boxed{5}", "5", n); };
  const auto wrong = [&](int64_t n) { return value(options, "\\boxed{6}", "5", n); };
  EXPECT_EQ(right(0), 1);
  EXPECT_NEAR(right(50), 0.75, 1e-15);
  EXPECT_NEAR(right(25), 0.5 + 0.25 * (1 + std::cos(std::numbers::pi / 4)), 1e-15);
  EXPECT_EQ(right(100), 0.5);
  EXPECT_EQ(right(500), 0.5);
  EXPECT_EQ(wrong(0), -1);
  EXPECT_NEAR(wrong(50), -0.75, 1e-15);
  EXPECT_EQ(wrong(100), -0.5);
}

double repetition(int64_t n, std::string_view text) {
  return value({.repetition = {.weight = 1, .ngram_words = n}}, text);
}

TEST(Repetition, IsTheShareOfNgramsThatAreNotNew) {
  EXPECT_EQ(repetition(1, "a b c"), 0);
  EXPECT_EQ(repetition(1, "a a a a"), -0.75);
  EXPECT_EQ(repetition(1, "A a\tB\n b"), -0.5);
  EXPECT_EQ(repetition(2, "a b a b a"), -0.5);     // ab ba ab ba
  EXPECT_EQ(repetition(3, "a b c a b c"), -0.25);  // abc bca cab abc
  EXPECT_EQ(repetition(3, "a b a c b a"), 0);
  EXPECT_EQ(repetition(3, "a a"), 0);
  EXPECT_EQ(repetition(3, "a a a"), 0);
  EXPECT_EQ(repetition(1, ""), 0);
  EXPECT_NEAR(repetition(2, "ab c a bc ab c"), -0.2, 1e-15);  // words, not letters: abc abc would be the same
}

TEST(Repetition, TakesLinearTime) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "wait ";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_LT(repetition(100, text), -0.999);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 10);
}

TEST(ExactMatch, IsTheVeryText) {
  const auto match = [](std::string_view text, std::string_view gold, bool ignore_case = false) {
    return value({.exact_match = {.weight = 1, .ignore_case = ignore_case}}, text, gold);
  };
  EXPECT_EQ(match("\\boxed{5}", " 5\n"), 1);
  EXPECT_EQ(match("\\boxed{5.0}", "5"), 0);
  EXPECT_EQ(match("\\boxed{Even}", "even"), 0);
  EXPECT_EQ(match("\\boxed{Even}", "even", true), 1);
  EXPECT_EQ(match("5", "5"), 0) << "the rules of the deciding verdict find nothing";
  EXPECT_EQ(match("\\boxed{}", ""), 0);
}

TEST(MultipleChoice, IsTheLetterOfTheGoldAnswer) {
  const auto choice = [](std::string_view text, std::string_view gold) {
    return value({.multiple_choice = {.weight = 1}}, text, gold);
  };
  EXPECT_EQ(choice("The answer is (B).", "B"), 1);
  EXPECT_EQ(choice("The answer is (b).", "(B)"), 1);
  EXPECT_EQ(choice("The answer is (C).", "B"), 0);
  EXPECT_EQ(choice("I do not know", "B"), 0);
  EXPECT_EQ(choice("The answer is (B).", "Berlin"), 0);
  EXPECT_EQ(choice("<think>The answer is (B).</think>The answer is (C).", "B"), 0);
}

}  // namespace
}  // namespace thinktune::reward
