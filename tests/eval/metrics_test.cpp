#include "thinktune/eval/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

// "7+" is a right answer 7, "8-" a wrong 8, "" an answer that was not found.
SampleScore sample(const std::string& text, Ending ending = Ending::EndOfTurn, int64_t tokens = 10) {
  SampleScore score;
  score.answered = !text.empty();
  score.unparsed = text.empty();
  score.right = text.ends_with('+');
  score.success = score.right && ending != Ending::Length;
  score.measures = {score.right, static_cast<uint8_t>(score.answered)};
  score.answer = text.substr(0, text.empty() ? 0 : text.size() - 1);
  score.ending = ending;
  score.num_tokens = tokens;
  return score;
}

ProblemScore problem(const std::vector<std::string>& answers) {
  ProblemScore p{.id = "p", .samples = {}};
  for (const std::string& answer : answers) p.samples.push_back(sample(answer));
  return p;
}

bool equal(size_t, const std::string& a, const std::string& b) { return a == b; }
bool wins(const std::vector<std::string>& answers) {
  return majority_is_right(problem(answers).samples, [](const auto& a, const auto& b) { return a == b; });
}

TEST(Majority, ByHand) {
  EXPECT_TRUE(wins({"7+"}));
  EXPECT_FALSE(wins({"8-"}));
  EXPECT_TRUE(wins({"8-", "7+", "7+"}));
  EXPECT_FALSE(wins({"8-", "7+", "8-"}));
  EXPECT_TRUE(wins({"8-", "9-", "7+", "7+", "6-"})) << "two of five are the largest group";
  EXPECT_FALSE(wins({"8-", "7+"})) << "of equals the first seen";
  EXPECT_TRUE(wins({"7+", "8-"}));
  EXPECT_TRUE(wins({"", "", "", "7+"})) << "what has no answer does not vote";
  EXPECT_FALSE(wins({"", ""}));
}

TEST(Majority, VotesByEqualityNotByText) {
  const ProblemScore p = problem({"8-", "1/2+", "0.5+"});
  const auto by_value = [](const std::string& a, const std::string& b) {
    const auto value = [](const std::string& t) { return t == "1/2" ? 0.5 : std::stod(t); };
    return value(a) == value(b);
  };
  EXPECT_TRUE(majority_is_right(p.samples, by_value));
  EXPECT_FALSE(majority_is_right(p.samples, [](const auto& a, const auto& b) { return a == b; }));
}

// Where an unworked form of the right answer is wrong, it votes for that answer all the same, whichever came first.
TEST(Majority, DoesNotDependOnTheOrderOfForms) {
  const auto always = [](const std::string&, const std::string&) { return true; };
  EXPECT_TRUE(majority_is_right(problem({"6*7-", "42+", "42+"}).samples, always));
  EXPECT_TRUE(majority_is_right(problem({"42+", "6*7-", "42+"}).samples, always));
}

TEST(ComputeMetrics, OneSampleAProblem) {
  std::vector<ProblemScore> problems = {problem({"1+"}), problem({"2-"}), problem({""}), problem({"3+"})};
  problems[3].samples[0] = sample("3+", Ending::Length, 30);
  const BenchmarkMetrics m = compute_metrics(problems, {"strict", "lenient"}, equal);
  EXPECT_EQ(m.num_problems, 4);
  EXPECT_EQ(m.num_samples, 1);
  EXPECT_DOUBLE_EQ(m.pass_at_1.mean, 0.25) << "the right answer that was cut is no success";
  EXPECT_EQ(m.pass_at_1.interval.high, wilson_interval(1, 4).high);
  ASSERT_EQ(m.measures.size(), 2u);
  EXPECT_DOUBLE_EQ(m.measures[0].second.mean, 0.5);
  EXPECT_DOUBLE_EQ(m.measures[1].second.mean, 0.75);
  EXPECT_FALSE(m.has_majority);
  EXPECT_TRUE(m.pass_at_k.empty());
  EXPECT_DOUBLE_EQ(m.mean_tokens, 15);
  EXPECT_DOUBLE_EQ(m.truncated_share, 0.25);
  EXPECT_DOUBLE_EQ(m.ended_share, 0.75);
  EXPECT_DOUBLE_EQ(m.unparsed_share, 0.25);
}

TEST(ComputeMetrics, SeveralSamplesByHand) {
  const std::vector<ProblemScore> problems = {problem({"1+", "1+", "2-", "1+", "3-"}),  // 3 of 5, majority right
                                              problem({"4-", "4-", "5+", "", "6-"})};   // 1 of 5, majority wrong
  const BenchmarkMetrics m = compute_metrics(problems, {"strict", "lenient"}, equal);
  EXPECT_DOUBLE_EQ(m.pass_at_1.mean, 0.4);
  EXPECT_NEAR(m.pass_at_1.standard_error, std::sqrt((0.04 + 0.04) / 2), 1e-15);
  ASSERT_EQ(m.pass_at_k.size(), 3u);
  EXPECT_EQ(m.pass_at_k[0].first, 2);
  EXPECT_NEAR(m.pass_at_k[0].second, (0.9 + 0.4) / 2, 1e-15);  // 1 - C(2,2)/10, 1 - C(4,2)/10
  EXPECT_EQ(m.pass_at_k[1].first, 4);
  EXPECT_NEAR(m.pass_at_k[1].second, (1 + 0.8) / 2, 1e-15);  // 1 - C(4,4)/C(5,4)
  EXPECT_EQ(m.pass_at_k[2].first, 5);
  EXPECT_DOUBLE_EQ(m.pass_at_k[2].second, 1);
  ASSERT_TRUE(m.has_majority);
  EXPECT_DOUBLE_EQ(m.majority.mean, 0.5);
  ASSERT_EQ(m.majority_at_k.size(), 2u);
  EXPECT_EQ(m.majority_at_k[0].first, 2);
  EXPECT_DOUBLE_EQ(m.majority_at_k[0].second, 0.5) << "(1 1), (2 1): half; (4 4), (5 .): half; of equals the first";
  EXPECT_EQ(m.majority_at_k[1].first, 4);
  EXPECT_DOUBLE_EQ(m.majority_at_k[1].second, 0.5);
  EXPECT_DOUBLE_EQ(m.unparsed_share, 0.1);
}

TEST(ComputeMetrics, PromptsThatAreTooLongAreCountedAsLost) {
  std::vector<ProblemScore> problems = {problem({"1+"}), problem({""})};
  problems[1].samples[0] = sample("", Ending::TooLong, 0);
  const BenchmarkMetrics m = compute_metrics(problems, {"strict", "lenient"}, equal);
  EXPECT_DOUBLE_EQ(m.pass_at_1.mean, 0.5);
  EXPECT_EQ(m.num_too_long, 1);
  EXPECT_DOUBLE_EQ(m.mean_tokens, 10) << "it has no length";
  EXPECT_DOUBLE_EQ(m.truncated_share, 0);
}

TEST(ComputeMetrics, RefusesWhatDoesNotFitTogether) {
  EXPECT_THROW(compute_metrics({}, {"strict"}, equal), core::Error);
  EXPECT_THROW(compute_metrics({problem({"1+"}), problem({"1+", "1+"})}, {"strict", "lenient"}, equal), core::Error);
}

}  // namespace
}  // namespace thinktune::eval
