#include "thinktune/eval/evaluator.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"
#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

using core::TokenId;
using rollout::Finish;
using rollout::Verdict;

TEST(EvalOptions, Ranges) {
  EXPECT_NO_THROW(validate(EvalOptions{}));
  EXPECT_EQ(EvalOptions{}.sampling.temperature, 0) << "greedy by default";
  EXPECT_THROW(validate(EvalOptions{.every = -1}), core::Error);
  EXPECT_THROW(validate(EvalOptions{.num_problems = -1}), core::Error);
  EXPECT_THROW(validate(EvalOptions{.sampling = {.temperature = -1}}), core::Error);
  EXPECT_THROW(validate(EvalOptions{.samples = 0}), core::Error);
  EXPECT_THROW(validate(EvalOptions{.samples = 4}), core::Error) << "four times the same greedy text";
  EXPECT_NO_THROW(validate(EvalOptions{.samples = 4, .sampling = {.temperature = 0.6}}));
}

// Judges by the prompt's gold alone: "right" is a reward for a response that ended by itself, "wrong" none, anything
// else is unparsed.
class GoldReward final : public reward::Reward {
 public:
  std::vector<rollout::Judgement> judge(std::span<const reward::Response> responses) override {
    std::vector<rollout::Judgement> judgements;
    for (const reward::Response& r : responses) {
      const Verdict verdict = r.gold == "right"   ? Verdict::Right
                              : r.gold == "wrong" ? Verdict::Wrong
                                                  : Verdict::Unparsed;
      const bool success = verdict == Verdict::Right && r.ended;
      judgements.push_back({.verdict = verdict, .success = success, .reward = success ? 1.0 : 0.0});
    }
    return judgements;
  }
};

class EvaluateTest : public testing::Test {
 protected:
  EvaluateTest()
      : config_(test::tiny_config()), decoder_(config_), weights_(test::random_weights(config_, 3, at::kFloat)) {
    test::bias_end_of_turn(weights_, 1.4);  // some responses end within the limit
    for (uint64_t p = 0; p < 24; ++p) {
      rollout::Prompt prompt;
      prompt.id = std::to_string(p);
      prompt.number = p;
      prompt.gold = p % 4 == 0 ? "right" : p % 4 == 1 ? "wrong" : "unreadable";
      for (uint64_t i = 0; i <= p; ++i) prompt.ids.push_back(static_cast<TokenId>(10 + 7 * p + i));
      prompts_.push_back(prompt);
    }
  }

  EvalResult run(const infer::SamplingOptions& sampling, uint64_t seed = 1, int64_t samples = 1) {
    infer::Engine engine(decoder_, weights_, *vocabulary_.tokenizer, {});
    GoldReward reward;
    return evaluate(engine, *vocabulary_.tokenizer, prompts_, reward,
                    {.samples = samples,
                     .max_new_tokens = 20,
                     .sampling = sampling,
                     .key = {.seed = seed, .stream = core::Stream::Evaluation}});
  }

  static std::vector<std::vector<TokenId>> responses(const EvalResult& result) {
    std::vector<std::vector<TokenId>> all;
    for (const rollout::Group& group : result.groups) all.push_back(group.rollouts[0].ids);
    return all;
  }

  model::ModelConfig config_;
  model::Decoder decoder_;
  model::Weights weights_;
  model::Vocabulary vocabulary_ = test::byte_vocabulary(test::tiny_config());
  std::vector<rollout::Prompt> prompts_;
};

TEST_F(EvaluateTest, CountsAgreeWithTheResponses) {
  const EvalResult result = run({.temperature = 1});
  ASSERT_EQ(result.groups.size(), prompts_.size());
  int64_t right = 0, ended = 0, unparsed = 0, tokens = 0;
  for (size_t p = 0; p < prompts_.size(); ++p) {
    EXPECT_EQ(result.groups[p].prompt.id, prompts_[p].id);
    ASSERT_EQ(result.groups[p].rollouts.size(), 1U);
    const rollout::Rollout& response = result.groups[p].rollouts[0];
    const bool by_itself = response.ids.back() == 2;
    EXPECT_EQ(response.finish, by_itself ? Finish::EndOfTurn : Finish::Length);
    EXPECT_LE(response.ids.size(), 20U);
    right += by_itself && prompts_[p].gold == "right";
    unparsed += prompts_[p].gold == "unreadable";
    ended += by_itself;
    tokens += std::ssize(response.ids);
  }
  ASSERT_GT(ended, 0) << "the test wants responses of both kinds";
  ASSERT_LT(ended, 24);
  ASSERT_GT(right, 0);
  EXPECT_EQ(result.num_right, right);
  EXPECT_DOUBLE_EQ(result.accuracy, static_cast<double>(right) / 24);
  EXPECT_DOUBLE_EQ(result.ended_share, static_cast<double>(ended) / 24);
  EXPECT_DOUBLE_EQ(result.unparsed_share, static_cast<double>(unparsed) / 24);
  EXPECT_DOUBLE_EQ(result.mean_length, static_cast<double>(tokens) / 24);
  EXPECT_EQ(result.interval.low, wilson_interval(right, 24).low);
  EXPECT_EQ(result.interval.high, wilson_interval(right, 24).high);
  EXPECT_GT(result.seconds, 0);
}

TEST_F(EvaluateTest, GreedyDoesNotUseTheKeyAndSamplingDoes) {
  EXPECT_EQ(responses(run({.temperature = 0}, 1)), responses(run({.temperature = 0}, 2)));
  EXPECT_EQ(responses(run({.temperature = 1}, 1)), responses(run({.temperature = 1}, 1)));
  EXPECT_NE(responses(run({.temperature = 1}, 1)), responses(run({.temperature = 1}, 2)));
}

TEST_F(EvaluateTest, SeveralSamplesAreOneMeanAProblem) {
  const EvalResult result = run({.temperature = 1}, 1, 3);
  double sum = 0;
  int64_t right = 0;
  for (size_t p = 0; p < prompts_.size(); ++p) {
    ASSERT_EQ(result.groups[p].rollouts.size(), 3U);
    int64_t of_problem = 0;
    for (const rollout::Rollout& response : result.groups[p].rollouts)
      of_problem += response.ids.back() == 2 && prompts_[p].gold == "right";
    sum += static_cast<double>(of_problem) / 3;
    right += of_problem;
  }
  EXPECT_EQ(result.num_right, right);
  EXPECT_NEAR(result.accuracy, sum / 24, 1e-12);
  EXPECT_EQ(result.metrics.num_samples, 3);
  ASSERT_EQ(result.metrics.pass_at_k.size(), 2U);
  EXPECT_GE(result.metrics.pass_at_k[1].second, result.accuracy);
  EXPECT_EQ(result.metrics.pass_at_1.method, "normal, clustered by problem");
  // Sample 0 is what one sample draws.
  const EvalResult one = run({.temperature = 1}, 1, 1);
  for (size_t p = 0; p < prompts_.size(); ++p)
    EXPECT_EQ(one.groups[p].rollouts[0].ids, result.groups[p].rollouts[0].ids);
}

TEST_F(EvaluateTest, NoProblemIsAnError) {
  prompts_.clear();
  EXPECT_THROW(run({.temperature = 0}), core::Error);
}

}  // namespace
}  // namespace thinktune::eval
