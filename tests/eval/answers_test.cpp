// Every finder against what the regular expression that it stands for finds (worked out by hand from the expression;
// checked with Python's re), and the comparisons.
#include "thinktune/eval/answers.h"

#include <gtest/gtest.h>

#include "thinktune/core/clock.h"

namespace thinktune::eval {
namespace {

using rollout::Verdict;

const data::Problem kChoice = {
    .id = "c", .problem = "?", .answer = "B", .choices = {"Iron", "Salt water", "Gold", "Tin"}};
const data::Problem kMath = {.id = "m", .problem = "?", .answer = "18"};

struct Case {
  Finder finder;
  const char* text;
  const char* found;  // null: nothing
};

TEST(Finders, FindWhatTheirExpressionsFind) {
  const Case cases[] = {
      {Finder::FirstHashes, "so 9 * 2 = 18\n#### 18", "18"},
      {Finder::FirstHashes, "#### 18\n\n#### 20", "18"},
      {Finder::FirstHashes, "#### -1,234.50 dollars", "-1,234.50"},
      {Finder::FirstHashes, "#### $18 and #### 19", "19"},
      {Finder::FirstHashes, "####18", nullptr},
      {Finder::FirstHashes, "#### -", nullptr},
      {Finder::FirstHashes, "##### 7", "7"},
      {Finder::LastNumeral, "He has 3 apples and 4 pears", "4"},
      {Finder::LastNumeral, "The answer is $1,200.", "$1,200."},
      {Finder::LastNumeral, "x = -5", "-5"},
      {Finder::LastNumeral, "5-3", "-3"},
      {Finder::LastNumeral, "7 is it...", "..."},
      {Finder::LastNumeral, "7, or so", "7,"},
      {Finder::LastNumeral, "7 $ - .", "7"},
      {Finder::LastNumeral, "no number", nullptr},
      {Finder::MinervaSentence, "Final Answer: The final answer is $18$. I hope it is correct.", "$18$"},
      {Finder::MinervaSentence, "Final Answer: The final answer is 18. ", "18"},
      {Finder::MinervaSentence,
       "Final Answer: The final answer is $1$. I hope it is correct.\nFinal Answer: The final "
       "answer is $2$. I hope it is correct.",
       "$1$"},
      {Finder::MinervaSentence, "Final Answer: The final answer is\n18. I hope it is correct.", nullptr},
      {Finder::MinervaSentence, "The final answer is 18. I hope it is correct.", nullptr},
      {Finder::TheAnswerIs, "The answer is (B).", "(B)"},
      {Finder::TheAnswerIs, "The answer is B", ""},
      {Finder::TheAnswerIs, "The answer is \nThe answer is (C).\n", "(C)"},
      {Finder::TheAnswerIs, "the answer is (B).", nullptr},
      {Finder::ParenthesisedLetter, "(A) is wrong, so (C).", "(C)"},
      {Finder::ParenthesisedLetter, "(a) it must be gold, not tin foil... Gold!", "C"},
      {Finder::ParenthesisedLetter, "saltwater? No: salt  water... it's salt water", "B"},
      {Finder::ParenthesisedLetter, "Answer: D", "D"},
      {Finder::ParenthesisedLetter, "Answer: E", nullptr},
      {Finder::FirstAnswerLine, "Answer: 18\nAnswer: 19", "18"},
      {Finder::FirstAnswerLine, "ANSWER :\n 18 apples", "18 apples"},
      {Finder::FirstAnswerLine, "my answer is 18", nullptr},
      {Finder::FirstAnswerLine, "Answer:", nullptr},
      {Finder::LastAnswerLine, "Answer: 18\nAnswer: 19", "19"},
      {Finder::FirstAnswerLetter, "Answer: $B$", "B"},
      {Finder::FirstAnswerLetter, "answer:c", "c"},
      {Finder::FirstAnswerLetter, "Answer: (B), Answer: D", "D"},
      {Finder::FirstAnswerLetter, "Answer:\nB", nullptr},
      {Finder::FirstAnswerLetter, "Answer: E", nullptr},
      {Finder::DollarsOrBox, "so $x = 2$ and $y = 3$.", "x = 2$ and $y = 3"},
      {Finder::DollarsOrBox, "$2$, that is \\boxed{18}", "18"},
      {Finder::DollarsOrBox, " 18", " 18"},
  };
  for (const Case& c : cases) {
    const FoundAnswer found = find_by(c.finder, c.text, kChoice);
    EXPECT_EQ(found.found, c.found != nullptr) << c.text;
    EXPECT_EQ(found.text, c.found != nullptr ? c.found : "") << c.text;
    EXPECT_EQ(found.reason.empty(), c.found != nullptr) << c.text;
  }
}

TEST(Finders, LongTextsTakeOnePass) {
  for (const char* part : {"answer", "answer: ", "#### ", "(", "(A", "-", "$", "1", ":",
                           "Final Answer: The final answer is", "The answer is ", "gold", "\\boxed{"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += part;
    for (const auto& [name, finder] : kFinderNames) {
      const core::Stopwatch watch;
      find_by(finder, text, kChoice);
      EXPECT_LT(watch.seconds(), 2) << name << " in repetitions of " << part;
    }
  }
}

Verdict verdict(Comparison comparison, const char* answer, const data::Problem& problem) {
  return compare_by(comparison, answer, problem).verdict;
}

TEST(Comparisons, Letters) {
  for (const char* right : {"B", "b", "(B)", " B. ", "\\text{B}", "\\textbf{(B)}", "**B**", "$B$", "B) Salt water",
                            "B. whatever", "(B) Salt water", "salt water", "Salt water.", "Option B", "\\boxed{B}"})
    EXPECT_EQ(verdict(Comparison::Letter, right, kChoice), Verdict::Right) << right;
  for (const char* wrong : {"A", "(C)", "Gold", "Z", "D: Tin"})
    EXPECT_EQ(verdict(Comparison::Letter, wrong, kChoice), Verdict::Wrong) << wrong;
  for (const char* unread : {"", "water", "Both", "42", "A and B", "AB"})
    EXPECT_EQ(verdict(Comparison::Letter, unread, kChoice), Verdict::Unparsed) << unread;
}

TEST(Comparisons, TextsAsPublished) {
  EXPECT_EQ(verdict(Comparison::LetterAsText, "(B)", kChoice), Verdict::Right);
  EXPECT_EQ(verdict(Comparison::LetterAsText, "b", kChoice), Verdict::Right);
  EXPECT_EQ(verdict(Comparison::LetterAsText, "B or C", kChoice), Verdict::Wrong);
  EXPECT_EQ(verdict(Comparison::ExactText, "B", kChoice), Verdict::Right);
  EXPECT_EQ(verdict(Comparison::ExactText, "b", kChoice), Verdict::Wrong) << "as published";
  for (const char* right : {"18", "$18", "18.", "1,8", "... #### 18"})
    EXPECT_EQ(verdict(Comparison::Numeral, right, kMath), Verdict::Right) << right;
  for (const char* wrong : {"18.0", "19", "", "-18"})
    EXPECT_EQ(verdict(Comparison::Numeral, wrong, kMath), Verdict::Wrong) << wrong;
}

TEST(Comparisons, MathematicsTakesOffWhatStandsAround) {
  for (const char* right : {"18", "$18$", "**18**", "$18$.", "$\\boxed{18}$", " 18 "})
    EXPECT_EQ(verdict(Comparison::Mathematics, right, kMath), Verdict::Right) << right;
  EXPECT_EQ(verdict(Comparison::Mathematics, "$19$.", kMath), Verdict::Wrong);
}

const Task& task_of(const char* protocol, const char* suite) {
  for (const Task& task : find_protocol(protocol).tasks)
    if (task.suite == suite) return task;
  throw std::runtime_error("no such task");
}

TEST(JudgeAnswer, StrictAndLenientAreBothTold) {
  const Task& task = task_of("thinktuning", kAnyMath);
  const rollout::Judgement boxed = judge_answer(task, kMath, "So it is \\boxed{18}.", true);
  EXPECT_EQ(boxed.strict, Verdict::Right);
  EXPECT_EQ(boxed.lenient, Verdict::Right);
  EXPECT_TRUE(boxed.success);
  EXPECT_EQ(boxed.extracted, "18");
  EXPECT_EQ(boxed.reason.substr(0, 5), "box: ");
  const rollout::Judgement plain = judge_answer(task, kMath, "So the answer is 18.", true);
  EXPECT_EQ(plain.strict, Verdict::Unparsed);
  EXPECT_EQ(plain.lenient, Verdict::Right);
  EXPECT_FALSE(plain.success) << "strict decides";
  EXPECT_NE(plain.reason, "");
  EXPECT_EQ(judge_answer(task, kMath, "\\boxed{19}", true).strict, Verdict::Wrong);
}

TEST(JudgeAnswer, ACutResponseIsASuccessOnlyWhereTheProtocolSaysSo) {
  const Task &ours = task_of("thinktuning", kAnyMath), &harness = task_of("lm-eval", "gsm8k");
  const rollout::Judgement cut = judge_answer(ours, kMath, "\\boxed{18} and then", false);
  EXPECT_EQ(cut.verdict, Verdict::Right);
  EXPECT_FALSE(cut.success);
  EXPECT_NE(cut.reason.find("cut at the limit"), std::string::npos);
  EXPECT_TRUE(judge_answer(harness, kMath, "#### 18", false).success);
}

TEST(JudgeAnswer, AsLmEvalJudges) {
  const Task& gsm8k = task_of("lm-eval", "gsm8k");
  const rollout::Judgement both = judge_answer(gsm8k, kMath, " 9 * 2 = <<9*2=18>>18 dollars.\n#### 18", true);
  EXPECT_EQ(both.strict, Verdict::Right);
  EXPECT_EQ(both.lenient, Verdict::Right);
  const rollout::Judgement flexible = judge_answer(gsm8k, kMath, " The answer is 18.", true);
  EXPECT_EQ(flexible.strict, Verdict::Unparsed);
  EXPECT_EQ(flexible.lenient, Verdict::Right);
  const Task& gpqa = task_of("lm-eval", "gpqa_diamond");
  const rollout::Judgement lettered = judge_answer(gpqa, kChoice, "Thus (B) fits. The answer is (B).", true);
  EXPECT_EQ(lettered.strict, Verdict::Right);
  EXPECT_EQ(lettered.lenient, Verdict::Right);
  EXPECT_EQ(judge_answer(gpqa, kChoice, "The answer is B", true).strict, Verdict::Wrong) << "one character is left off";
}

TEST(SameAnswer, VotesTogether) {
  EXPECT_TRUE(same_answer(Comparison::Mathematics, kMath, "\\frac{1}{2}", "0.5"));
  EXPECT_FALSE(same_answer(Comparison::Mathematics, kMath, "1/2", "1/3"));
  EXPECT_TRUE(same_answer(Comparison::Mathematics, kMath, "what now", " what now"));
  EXPECT_TRUE(same_answer(Comparison::Letter, kChoice, "(A)", "Iron"));
  EXPECT_FALSE(same_answer(Comparison::Letter, kChoice, "A", "B"));
  EXPECT_TRUE(same_answer(Comparison::Numeral, kMath, "$1,200", "1200."));
  EXPECT_TRUE(same_answer(Comparison::LetterAsText, kChoice, "(B)", "b"));
}

}  // namespace
}  // namespace thinktune::eval
