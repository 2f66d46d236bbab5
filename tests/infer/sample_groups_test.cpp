#include "thinktune/infer/sample_groups.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

#include "support/tiny_model.h"

namespace thinktune::infer {
namespace {

class SampleGroupsTest : public testing::Test {
 protected:
  std::vector<rollout::Prompt> prompts() const {
    std::vector<rollout::Prompt> prompts(3);
    for (uint64_t p = 0; p < prompts.size(); ++p)
      prompts[p] = {.id = "p", .number = p, .ids = {static_cast<TokenId>(10 + p), 20, 30}};
    return prompts;
  }

  std::vector<rollout::Group> sample(const OnSampled& on_sampled) {
    return sample_groups(engine_, *vocabulary_.tokenizer, prompts(), 4, 24, {}, {.seed = 3}, on_sampled);
  }

  SampleGroupsTest() { test::bias_end_of_turn(weights_, 1.4); }  // some end by themselves, some do not

  model::Decoder decoder_{test::tiny_config()};
  model::Weights weights_ = test::random_weights(test::tiny_config(), 7, at::kFloat);
  model::Vocabulary vocabulary_ = test::byte_vocabulary(test::tiny_config());
  Engine engine_{decoder_, weights_, *vocabulary_.tokenizer, {.max_sequences = 5}};
};

TEST_F(SampleGroupsTest, HandsOutEachRolloutOnceWithItsTextOnAnotherThread) {
  std::vector<rollout::Sampled> seen;
  bool elsewhere = true;
  const auto here = std::this_thread::get_id();
  const std::vector<rollout::Group> groups = sample([&](const auto& rollouts) {
    elsewhere = elsewhere && std::this_thread::get_id() != here;
    for (const rollout::Sampled& sampled : rollouts) {
      EXPECT_FALSE(sampled.rollout->ids.empty());
      sampled.rollout->judgement.reward += 1;
      seen.push_back(sampled);
    }
  });
  EXPECT_TRUE(elsewhere);
  EXPECT_EQ(seen.size(), 12U);
  size_t num_ended = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    EXPECT_EQ(groups[g].prompt.number, g);
    ASSERT_EQ(groups[g].rollouts.size(), 4U);
    for (const rollout::Rollout& rollout : groups[g].rollouts) {
      EXPECT_EQ(rollout.judgement.reward, 1);
      EXPECT_EQ(rollout.origin.size(), rollout.ids.size());
      EXPECT_EQ(rollout.sampler_logprobs.size(), rollout.ids.size());
      std::vector<TokenId> words = rollout.ids;
      if (rollout.finish == rollout::Finish::EndOfTurn) words.pop_back(), ++num_ended;
      EXPECT_EQ(rollout.text, vocabulary_.tokenizer->decode(words));
    }
  }
  EXPECT_GT(num_ended, 0U);
  EXPECT_LT(num_ended, 12U);
}

TEST_F(SampleGroupsTest, EndsWithTheErrorOfWhoeverHandlesTheRollouts) {
  EXPECT_THROW(sample([](const auto&) { throw std::runtime_error("the command failed too often"); }),
               std::runtime_error);
  EXPECT_EQ(sample([](const auto&) {}).size(), 3U);  // and can be used again
}

}  // namespace
}  // namespace thinktune::infer
