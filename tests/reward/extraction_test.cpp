#include "thinktune/reward/extraction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "thinktune/core/error.h"

namespace thinktune::reward {
namespace {

struct Case {
  std::string text;
  std::string expected;  // "-": nothing is found
};

// What the rules find; the answer is checked to stand in the text where it is said to.
std::string found(const std::string& text, const std::vector<Rule>& rules, const ExtractionOptions& options = {}) {
  const Found f = find_answer(text, rules, options);
  if (!f.found) {
    EXPECT_EQ(f.answer, "");
    EXPECT_NE(f.reason, "");
    return "-";
  }
  EXPECT_EQ(text.substr(f.position, f.answer.size()), f.answer);
  EXPECT_EQ(f.reason, "");
  return f.answer;
}

void expect_found(const std::vector<Rule>& rules, const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(found(c.text, rules), c.expected) << c.text;
}

const std::vector<Rule> kLenient = {Rule::Box, Rule::Tag, Rule::Hashes, Rule::Phrase, Rule::Math, Rule::LastNumber};

TEST(BoxRule, TakesTheLastBalancedBox) {
  expect_found({Rule::Box}, {
                                {R"(so \boxed{5}.)", "5"},
                                {R"(\boxed{1} then \boxed{2})", "2"},
                                {R"(\boxed{1} then \fbox{2})", "2"},
                                {R"(\fbox{1} then \boxed{2})", "2"},
                                {R"(\boxed{\frac{1}{2}} done {x})", R"(\frac{1}{2})"},
                                {R"(\boxed{\boxed{7}})", "7"},
                                {R"(\boxed{ 8 })", "8"},
                                {R"(\boxed {9})", "9"},
                                {R"(\boxed{\{1, 2\}})", R"(\{1, 2\})"},
                                {R"(\boxed{\{})", R"(\{)"},
                                {R"(\boxed{a \\} b)", R"(a \\)"},
                                {R"(\boxed 5 is it)", "5"},
                                {R"(\boxed -12.5.)", "-12.5"},
                                {R"(\boxed{5} \boxed 6$)", "6"},
                                {R"(\boxed\frac{1}{2})", R"(\frac{1}{2})"},
                                {R"(\boxed\frac12)", R"(\frac12)"},
                                {R"(\boxed C.)", "C"},
                                {R"(\boxed{5}. I used the \boxed notation.)", "5"},
                                {R"(\boxed{5}. As asked, in \boxed)", "5"},
                                {R"(\boxedfoo{5})", "-"},
                                {R"(boxed{5})", "-"},
                                {R"(\boxed)", "-"},
                                {R"(\)", "-"},
                                {"", "-"},
                                {R"(\boxed{5)", "-"},
                                {R"(\boxed{1} and \boxed{2)", "-"},
                                {R"(\boxed{5\})", "-"},
                            });
}

TEST(BoxRule, AnEmptyBoxCountsOnlyWithoutAnother) {
  expect_found({Rule::Box}, {{R"(\boxed{5}, as asked in a \boxed{})", "5"},
                             {R"(\boxed{ } \boxed{})", ""},
                             {R"(\boxed{})", ""},
                             {R"(\boxed{1 \boxed{})", ""}});
}

TEST(BoxRule, ABoxThatNeverClosesIsACutAnswerAndNothingIsGuessedForIt) {
  const Found f = find_answer("4 is not it. The answer is \\boxed{12", kLenient);
  EXPECT_FALSE(f.found);
  EXPECT_EQ(f.reason, "the last \\boxed{} is never closed");
}

TEST(TagRule, TakesTheLastTagAndTheAnswerInsideIt) {
  expect_found({Rule::Tag}, {{"<answer>5</answer>", "5"},
                             {"<answer> 5 </answer> or <answer>\n6\n</answer>", "6"},
                             {R"(<answer>So \boxed{7}.</answer>)", "7"},
                             {"<answer>The answer is 8.</answer>", "8"},
                             {"<answer>$9$</answer>", "9"},
                             {"<answer>10 apples.</answer>", "10 apples"},
                             {"<answer>New York City in the state of New York of the USA</answer>",
                              "New York City in the state of New York of the USA"},
                             {"<answer>5", "-"},
                             {"5</answer>", "-"},
                             {"<answer></answer>", "-"},
                             {"</answer><answer>", "-"}});
}

TEST(HashesRule, TakesTheLastLineThatIsNoHeading) {
  expect_found({Rule::Hashes}, {{"a\n#### 5", "5"},
                                {"#### 5\n#### 6", "6"},
                                {"#### $1,234.", "$1,234"},
                                {"#### 18 dollars", "18 dollars"},
                                {"#### The answer is 7.", "7"},
                                {"#### Step 1: add them\nWe add 5.", "-"},
                                {"#### 5\n\n#### Checking the result once more\nIt is right.", "5"},
                                {"##### 5", "-"},
                                {"####", "-"},
                                {"### 5", "-"}});
}

TEST(PhraseRule, ReadsTheUsualForms) {
  expect_found({Rule::Phrase}, {{"The answer is 5.", "5"},
                                {"the answer is: 5", "5"},
                                {"The final answer is $\\frac{1}{2}$. I hope it is correct.", "\\frac{1}{2}"},
                                {"Final Answer: The final answer is $5$. I hope it is correct.", "5"},
                                {"Answer: 5", "5"},
                                {"ANSWER: 5", "5"},
                                {"**Answer:** 5", "5"},
                                {"**Answer: 5**", "5"},
                                {"**Answer**: $5$", "5"},
                                {"Final Answer: **5**", "5"},
                                {"**Final Answer**\n\n$5$", "5"},
                                {"### Answer\n5", "5"},
                                {"The answer is:\n\\[\n5\n\\]", "5"},
                                {"The answer is:\n$$\n5\n$$\nDone.", "5"},
                                {"Answer \\[ 9 \\]", "9"},
                                {"The correct answer is \\(5\\).", "5"},
                                {"The answer to the question is 5.", "5"},
                                {"The answer would be 5 apples.", "5 apples"},
                                {"The answers are 2 and 3.", "2 and 3"},
                                {"The answer is $x = 5$.", "x = 5"},
                                {"The answer is 2 + 3 = 5.", "5"},
                                {"The answer is $x = 2 + 3 = 5$.", "5"},
                                {"The answer is $x = 1$, $y = 2$.", "$x = 1$, $y = 2$"},
                                {"The answer is therefore 3.5 kg.", "3.5 kg"},
                                {"The answer is Saturday.", "Saturday"},
                                {"The answer is \"even\".", "even"},
                                {"The answer is 5 p.m. on Monday.", "5 p.m. on Monday"},
                                {"The answer is 0.333...", "0.333..."},
                                {"The answer is 42!", "42"},
                                {"The answer is $5!$.", "5!"}});
}

TEST(PhraseRule, LeavesOutWhatIsSaidAroundTheAnswer) {
  expect_found({Rule::Phrase}, {{"The answer is 5 because 2 + 3 = 5.", "5"},
                                {"The answer is 5, which is odd.", "5"},
                                {"The answer is 5 (rounded to the nearest one).", "5"},
                                {"The answer is 5. The other 7 stay.", "5"},
                                {"The answer is that there are 5 apples.", "5 apples"},
                                {"The answer is that John has 5 apples.", "5"},
                                {"The answer is: the volume of $ABC$ is 120.", "120"},
                                {"The answer is a total of 5 apples", "5 apples"},
                                {"The answer is 5, not 6.", "5"}});
}

TEST(PhraseRule, TakesTheLastPlaceThatIsAnAnswer) {
  expect_found({Rule::Phrase}, {{"Answer: 41 was a guess.\nAnswer: 42", "42"},
                                {"The answer is 5. Is this answer right?", "5"},
                                {"The answer is 5. That answer is correct.", "5"},
                                {"The answer is 5. The answer is not 6.", "5"},
                                {"What is the answer?", "-"},
                                {"My answerer is 5", "-"},
                                {"answer", "-"},
                                {"The answer is", "-"},
                                {"The answer is .", "-"},
                                {"Answer: \n\n\n\n 5", "-"},
                                {"Answer: First we add 3 and 4 to get 7.\nThen we double it.", "-"},
                                {"Answer: He has 7 pens.\nHe gives 2 away.", "-"}});
}

TEST(PhraseRule, KeepsAHedgeWhole) {
  expect_found(kLenient, {{"The answer is either 5 or 6.", "either 5 or 6"}, {"So it is 5 or 6.", "5 or 6"}});
}

TEST(ChoiceRule, FindsTheLetter) {
  expect_found({Rule::Choice}, {{R"(\boxed{B})", "B"},
                                {R"(\boxed{\text{(B)}})", "B"},
                                {R"($\boxed{\textbf{C}}$)", "C"},
                                {"<answer>D</answer>", "D"},
                                {"The answer is (B).", "B"},
                                {"The answer is B", "B"},
                                {"Answer: B. Paris", "B"},
                                {"Answer: (b)", "b"},
                                {"**Answer:** **B**", "B"},
                                {"The correct option is **C**.", "C"},
                                {"The correct choice is (D) Rome.", "D"},
                                {"The best answer is option A.", "A"},
                                {"Some thoughts.\n\n(B)", "B"},
                                {"Some thoughts.\nB.", "B"},
                                {"B", "B"},
                                {"B) 42", "B"},
                                {"Therefore C is correct, as we saw.", "C"},
                                {"It cannot be (A), so it is (B) after all.", "B"},
                                {"A dog is an animal.", "-"},
                                {"I think so.", "-"},
                                {"The answer is Berlin.", "-"},
                                {"(K)", "-"},
                                {"42", "-"},
                                {"", "-"}});
}

TEST(MathRule, TakesTheLastFormula) {
  expect_found({Rule::Math}, {{"so $x$ and $y$.", "y"},
                              {"so \\(5\\).", "5"},
                              {"so \\[5\\]", "5"},
                              {"so $$5$$", "5"},
                              {"$a = b = 7$", "7"},
                              {"$3 + 4 = 7$", "7"},
                              {"$y = 2x$", "y = 2x"},
                              {"$a \\le 5$", "a \\le 5"},
                              {"$x = 1, y = 2$", "x = 1, y = 2"},
                              {"He pays \\$5 for $x$", "x"},
                              {"It costs $5 and he has $7 left", "-"},
                              {"It costs $5 or so for each", "-"},
                              {"It costs $5 for each of them and 7$ more", "-"},
                              {"so $x = 5$. He pays 7 dollars.", "-"},
                              {"$5\n$", "-"},
                              {"\\(5", "-"},
                              {"$$5", "-"},
                              {"$ $", "-"},
                              {"no formula", "-"}});
}

TEST(LastNumberRule, TakesTheNumberAsItIsWritten) {
  expect_found({Rule::LastNumber}, {
                                       {"It is 1,234.5 in all.", "1,234.5"},
                                       {"He eats 3/4 of it", "3/4"},
                                       {"The result is -7.", "-7"},
                                       {"The result is −7.", "−7"},
                                       {"10-3", "3"},
                                       {"10 - 3 = 7", "7"},
                                       {"It costs $18.", "18"},
                                       {"He lost -$18.", "-$18"},
                                       {"42.", "42"},
                                       {"about .5", ".5"},
                                       {"x2 and y_3 and z^4 and w^{5} and v^{-6}", "-"},
                                       {"12 m^2", "12"},
                                       {"we get 10^3", "10^3"},
                                       {"we get 5\\times 10^{-3}", "5\\times 10^{-3}"},
                                       {"6 = 2\\times3", "3"},
                                       {"on 3/4/2021", "2021"},
                                       {"so 2 1/2 cups", "2 1/2"},
                                       {"so \\frac{3}{4} cups", "\\frac{3}{4}"},
                                       {"so 2\\dfrac{3}{4} cups", "2\\dfrac{3}{4}"},
                                       {"so -\\frac34", "-\\frac34"},
                                       {"1,23", "23"},
                                       {"1, 234", "234"},
                                       {"1e3", "1e3"},
                                       {"2,000,000 dollars", "2,000,000"},
                                       {"4, 5 or 6", "5 or 6"},
                                       {"no number", "-"},
                                       {"", "-"},
                                       {"-", "-"},
                                       {"...", "-"},
                                   });
}

TEST(WholeRule, TakesTheTextWithoutItsMarks) {
  expect_found({Rule::Whole}, {{" 5 \n", "5"}, {"**$x^2$**", "x^2"}, {"two words.", "two words"}, {" ", "-"}});
}

TEST(FindAnswer, TheFirstRuleThatFindsSomethingDecides) {
  const std::string text = "#### 1\n<answer>2</answer>\nThe answer is 3.\n$4$\n5";
  EXPECT_EQ(found(text, {Rule::Hashes, Rule::Tag}), "1");
  EXPECT_EQ(found(text, {Rule::Box, Rule::Tag, Rule::Hashes}), "2");
  EXPECT_EQ(found(text, {Rule::Phrase, Rule::LastNumber}), "3");
  EXPECT_EQ(found(text, {Rule::LastNumber, Rule::Phrase}), "5");
  EXPECT_EQ(find_answer(text, {Rule::Box, Rule::Tag}).rule, Rule::Tag);
  EXPECT_EQ(find_answer("x", {Rule::Box, Rule::LastNumber}).reason, "no \\boxed{} and no number in the response");
}

TEST(FindAnswer, AnEmptyBoxSaysNothingAndTheOtherRulesDecide) {
  expect_found(kLenient, {{R"(17. The answer is \boxed{}.)", "17"},
                          {R"(\boxed{} 36)", "36"},
                          {R"(The answer is 17. Final answer: \boxed{ })", "17"},
                          {R"(The answer is $17$. The answer is $\boxed{}$.)", "17"},
                          {R"($x = 17$, so $\boxed{}$.)", "x = 17"},
                          {R"($2 + 15 = \boxed{}$, which is $2 + 15 = 17$)", "17"},
                          {R"($2 + 15 = 17$, so the answer is $n = \boxed{}$)", "17"},
                          {R"(<answer>\boxed{}</answer> 17)", "17"},
                          {R"(#### 17, in \boxed{})", "17, in \\boxed{}"},
                          {R"(9 x 5 = 45. This answer is within \boxed{ }.)", "45"},
                          {R"(Paul has 45. The answer is \boxed{} 46)", "46"},
                          {R"(The answer is \boxed{}\textbf{46}, not 45)", "\\textbf{46}"},
                          {R"(The answer is \fbox {} $\frac{1}{2}$. I hope it is correct.)", "\\frac{1}{2}"},
                          {R"(The answer is 46, in \boxed{}, and 45 is not)", "46"},
                          {R"(The answer is 46 begin \boxed{}.)", "46 begin"},
                          {R"(\boxed{}, for no number is given)", ""},
                          {R"(The answer is \boxed{})", ""}});
  expect_found({Rule::Phrase}, {{R"(The answer is \boxed{})", "-"}});
  expect_found({Rule::Math}, {{R"($\boxed{}$)", "-"}});
  EXPECT_EQ(found("<think>\\boxed{5}</think> \\boxed{}", kLenient, {.inside_thoughts = true}), "5");
  EXPECT_EQ(found("<think>5</think> \\boxed{}", kLenient, {.inside_thoughts = true}), "");
}

TEST(FindAnswer, EndMarksEndTheText) {
  for (const std::string mark : {"<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<end_of_turn>"}) {
    EXPECT_EQ(found("The answer is \\boxed{5}." + mark, {Rule::Box}), "5");
    EXPECT_EQ(found("The answer is 5" + mark, kLenient), "5");
    EXPECT_EQ(found("\\boxed{5}" + mark + "\n\\boxed{6}", {Rule::Box}), "5");
  }
  EXPECT_EQ(found("<s>5</s> 6", {Rule::LastNumber}), "6");
}

TEST(FindAnswer, ThoughtsAreNoAnswer) {
  EXPECT_EQ(found("<think>\\boxed{4}</think>\\boxed{5}", {Rule::Box}), "5");
  EXPECT_EQ(found("\\boxed{4}</think>\\boxed{5}", {Rule::Box}), "5");
  EXPECT_EQ(found("\\boxed{5}<think>\\boxed{4}", {Rule::Box}), "5");
  const std::string only = "<think>It is \\boxed{5}, or 7</think> Some other text.";
  EXPECT_EQ(found(only, kLenient), "-");
  EXPECT_EQ(found(only, kLenient, {.inside_thoughts = true}), "5");
  EXPECT_EQ(found("<think>7", kLenient, {.inside_thoughts = true}), "-") << "a number in a thought is no answer";
  EXPECT_EQ(found("<think>\\boxed{5}</think>\\boxed{6", kLenient, {.inside_thoughts = true}), "-");
}

TEST(FindAnswer, AnotherQuestionBehindAnAnswerIsNotAnswered) {
  for (const std::string question : {"\n\nQuestion: What is 2+2?\nAnswer: ", "\nProblem: x\n", "\n**Problem 2:** x\n",
                                     "\n### Human: x\n", "\nQ: x\n"})
    EXPECT_EQ(found("It is \\boxed{5}." + question + "\\boxed{6}", kLenient), "5") << question;
  EXPECT_EQ(found("Problem: restated\nIt is \\boxed{5}", kLenient), "5") << "no answer stands before it";
  EXPECT_EQ(found("The answer is 5.\nQuestion: more\nThe answer is 6.", kLenient), "5");
  EXPECT_EQ(found("The answer is 5.\nQuestion: more\n\\boxed{6}", {Rule::Box}), "6") << "no box before it";
}

TEST(ReadRules, RefusesWhatIsNone) {
  EXPECT_EQ(read_rules({"box", "last_number"}, "s"), (std::vector<Rule>{Rule::Box, Rule::LastNumber}));
  const auto message = [](const std::vector<std::string>& names) {
    return test::message_of_error(core::ErrorKind::User, [&] { read_rules(names, "reward.answer.strict"); });
  };
  EXPECT_THAT(message({"box", "boxes"}), ::testing::HasSubstr("reward.answer.strict: \"boxes\" is no rule"));
  EXPECT_THAT(message({"bx"}), ::testing::HasSubstr("the rules are box, tag, hashes, phrase, choice, math"));
  EXPECT_THAT(message({}), ::testing::HasSubstr("names no rule"));
  EXPECT_THAT(message({"box", "box"}), ::testing::HasSubstr("twice"));
}

}  // namespace
}  // namespace thinktune::reward
