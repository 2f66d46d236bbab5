#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "thinktune/core/error.h"
#include "thinktune/report/metrics.h"
#include "thinktune/report/rollout_statistics.h"
#include "thinktune/report/table.h"
#include "thinktune/report/zero_reward.h"

namespace thinktune::report {
namespace {

using rollout::Finish;
using rollout::Group;
using rollout::Rollout;
using rollout::Verdict;
using ::testing::HasSubstr;
using ::testing::Not;

Rollout make_rollout(size_t num_tokens, Verdict verdict, Finish finish = Finish::EndOfTurn) {
  Rollout r;
  r.ids.assign(num_tokens, 5);
  r.origin.assign(num_tokens, rollout::Origin::Student);
  r.finish = finish;
  const bool success = verdict == Verdict::Right && finish == Finish::EndOfTurn;
  r.judgement = {
      .verdict = verdict, .strict = verdict, .lenient = verdict, .success = success, .reward = success ? 1.0 : 0.0};
  return r;
}

Rollout guided(Rollout r, Verdict before, const std::string& opinion) {
  r.guidance = {
      .guided = true,
      .outcome = "guided",
      .opinion = opinion,
      .before = {
          .verdict = before, .success = before == Verdict::Right, .reward = before == Verdict::Right ? 1.0 : 0.0}};
  return r;
}

TEST(Metrics, KeepTheirOrderAndRefuseANameTwice) {
  Metrics metrics;
  metrics.add("b", 1);
  metrics.add("a", 2);
  ASSERT_EQ(metrics.entries().size(), 2u);
  EXPECT_EQ(metrics.entries()[0].first, "b");
  EXPECT_EQ(metrics.at("a"), 2);
  EXPECT_FALSE(metrics.has("c"));
  EXPECT_THROW(metrics.add("a", 3), core::Error);
  EXPECT_THROW(metrics.add("", 3), core::Error);
  EXPECT_THROW(metrics.at("c"), core::Error);
  EXPECT_THROW(metrics.add(metrics), core::Error);
}

TEST(Summarise, CountsByHand) {
  std::vector<Group> groups(3);
  // Group 1: right, wrong, cut, and one that the teacher turned right.
  groups[0].rollouts = {make_rollout(10, Verdict::Right), make_rollout(20, Verdict::Wrong),
                        make_rollout(40, Verdict::Unparsed, Finish::Length),
                        guided(make_rollout(30, Verdict::Right), Verdict::Wrong, "incorrect")};
  // Group 2: no success of its own; one guided and spoilt by nothing, one whose reply could not be read.
  groups[1].rollouts = {guided(make_rollout(8, Verdict::Wrong), Verdict::Unparsed, "correct"),
                        make_rollout(12, Verdict::Wrong)};
  groups[1].rollouts[1].guidance = {.outcome = "bad_opinion", .before = groups[1].rollouts[1].judgement};
  // Group 3: all right; one was right and the teacher made it wrong.
  groups[2].rollouts = {make_rollout(5, Verdict::Right),
                        guided(make_rollout(7, Verdict::Wrong), Verdict::Right, "correct")};

  const RolloutStatistics s = summarise(groups);
  EXPECT_EQ(s.num_prompts, 3);
  EXPECT_EQ(s.num_rollouts, 8);
  EXPECT_EQ(s.num_selected, 4);
  EXPECT_EQ(s.num_guided, 3);
  EXPECT_DOUBLE_EQ(s.reward_mean, 3.0 / 8);
  EXPECT_DOUBLE_EQ(s.reward_std, std::sqrt(3.0 / 8 * 5 / 8));
  EXPECT_EQ(s.reward_min, 0);
  EXPECT_EQ(s.reward_max, 1);
  EXPECT_DOUBLE_EQ(s.own_reward_mean, 3.0 / 8);  // the first, and both of the last group
  EXPECT_DOUBLE_EQ(s.right_share, 3.0 / 8);
  EXPECT_DOUBLE_EQ(s.unparsed_share, 1.0 / 8);
  EXPECT_DOUBLE_EQ(s.ended_share, 7.0 / 8);
  EXPECT_DOUBLE_EQ(s.length_mean, 132.0 / 8);
  EXPECT_EQ(s.length_max, 40);
  EXPECT_DOUBLE_EQ(s.guided_length_mean, 45.0 / 3);
  EXPECT_DOUBLE_EQ(s.own_length_mean, 87.0 / 5);
  EXPECT_DOUBLE_EQ(s.no_success_share, 1.0 / 3);
  EXPECT_DOUBLE_EQ(s.equal_reward_share, 1.0 / 3);
  EXPECT_DOUBLE_EQ(s.guided_share, 3.0 / 8);
  EXPECT_DOUBLE_EQ(s.valid_share, 3.0 / 4);
  EXPECT_DOUBLE_EQ(s.opinion_right_share, 2.0 / 3);
  EXPECT_EQ(s.num_wrong_to_right, 1);
  EXPECT_EQ(s.num_right_to_wrong, 1);
  EXPECT_THAT(s.outcomes, ::testing::ElementsAre(std::pair("bad_opinion", 1), std::pair("guided", 3)));

  Metrics metrics;
  add_to(metrics, s);
  EXPECT_DOUBLE_EQ(metrics.at("reward/mean"), 3.0 / 8);
  EXPECT_DOUBLE_EQ(metrics.at("guidance/outcome/bad_opinion"), 1);
  for (const auto& [name, value] : metrics.entries()) EXPECT_TRUE(std::isfinite(value)) << name;
}

TEST(Summarise, WhatWasNotScoredIsCountedAndLeftOut) {
  std::vector<Group> groups(2);
  Rollout unscored = make_rollout(4, Verdict::Right);
  unscored.judgement.scored = false;
  unscored.judgement.reward = 0;
  groups[0].rollouts = {unscored, make_rollout(6, Verdict::Right), make_rollout(8, Verdict::Right)};
  groups[0].rollouts[1].judgement.parts = {{.name = "answer", .weight = 1, .value = 1},
                                           {.name = "length", .weight = 0.5, .value = -0.5}};
  groups[0].rollouts[2].judgement.parts = groups[0].rollouts[1].judgement.parts;
  groups[0].rollouts[2].judgement.parts[1].value = -1;
  groups[1].rollouts = {unscored};
  const RolloutStatistics s = summarise(groups);
  EXPECT_EQ(s.num_rollouts, 4);
  EXPECT_EQ(s.num_unscored, 2);
  EXPECT_EQ(s.reward_mean, 1);
  EXPECT_EQ(s.reward_min, 1);
  EXPECT_EQ(s.own_reward_mean, 1);
  EXPECT_EQ(s.right_share, 1);
  EXPECT_EQ(s.equal_reward_share, 1);
  EXPECT_DOUBLE_EQ(s.part_means.at("length"), -0.75);
  Metrics metrics;
  add_to(metrics, s);
  EXPECT_EQ(metrics.at("reward/unscored"), 2);
  EXPECT_DOUBLE_EQ(metrics.at("reward/part/length"), -0.75);

  Metrics nothing;
  groups.erase(groups.begin());
  add_to(nothing, summarise(groups));
  EXPECT_EQ(nothing.at("reward/unscored"), 1);
  EXPECT_FALSE(nothing.has("reward/mean"));
  for (const auto& [name, value] : nothing.entries()) EXPECT_TRUE(std::isfinite(value)) << name;
}

TEST(Summarise, NoRolloutsGiveNoNumbers) {
  for (const auto& groups : {std::vector<Group>{}, std::vector<Group>(2)}) {
    Metrics metrics;
    add_to(metrics, summarise(groups));
    ASSERT_EQ(metrics.entries().size(), 1u);
    EXPECT_EQ(metrics.at("response/count"), 0);
  }
}

TEST(Summarise, WithoutGuidanceThereAreNoGuidanceNumbersButTheShare) {
  std::vector<Group> groups(1);
  groups[0].rollouts = {make_rollout(3, Verdict::Wrong)};
  Metrics metrics;
  add_to(metrics, summarise(groups));
  EXPECT_EQ(metrics.at("guidance/guided"), 0);
  EXPECT_FALSE(metrics.has("guidance/valid"));
  for (const auto& [name, value] : metrics.entries()) EXPECT_TRUE(std::isfinite(value)) << name;
}

RolloutStatistics all_zero(Verdict verdict, Finish finish) {
  std::vector<Group> groups(1);
  groups[0].rollouts = {make_rollout(3, verdict, finish), make_rollout(3, verdict, finish)};
  return summarise(groups);
}

TEST(ZeroReward, SpeaksAfterEveryFullRow) {
  ZeroRewardWatcher watcher(3);
  const auto zero = all_zero(Verdict::Unparsed, Finish::EndOfTurn);
  for (int64_t step = 1; step <= 9; ++step) EXPECT_EQ(watcher.observe(step, zero).empty(), step % 3 != 0) << step;
  EXPECT_EQ(watcher.streak(), 9);
}

TEST(ZeroReward, OneRewardEndsTheRow) {
  ZeroRewardWatcher watcher(2);
  const auto zero = all_zero(Verdict::Wrong, Finish::EndOfTurn);
  std::vector<Group> groups(1);
  groups[0].rollouts = {make_rollout(3, Verdict::Wrong), make_rollout(3, Verdict::Right)};
  EXPECT_EQ(watcher.observe(1, zero), "");
  EXPECT_EQ(watcher.observe(2, summarise(groups)), "");
  EXPECT_EQ(watcher.observe(3, zero), "");
  EXPECT_EQ(watcher.observe(4, summarise({})), "");  // no rollouts: says nothing either way
  EXPECT_NE(watcher.observe(5, zero), "");
}

TEST(ZeroReward, AdvisesByWhatItSees) {
  const auto advice = [](Verdict verdict, Finish finish) {
    return ZeroRewardWatcher(1).observe(1, all_zero(verdict, finish));
  };
  EXPECT_THAT(advice(Verdict::Unparsed, Finish::EndOfTurn),
              HasSubstr("100 % of the last step's responses no answer could be read"));
  EXPECT_THAT(advice(Verdict::Unparsed, Finish::EndOfTurn), Not(HasSubstr("cut at the response limit")));
  EXPECT_THAT(advice(Verdict::Unparsed, Finish::Length),
              HasSubstr("100 % of the responses were cut at the response limit"));
  EXPECT_THAT(advice(Verdict::Wrong, Finish::EndOfTurn), HasSubstr("Answers are read"));
}

TEST(ZeroReward, CanBeTurnedOff) {
  ZeroRewardWatcher watcher(0);
  for (int64_t step = 1; step < 50; ++step)
    EXPECT_EQ(watcher.observe(step, all_zero(Verdict::Wrong, Finish::EndOfTurn)), "");
}

TEST(Table, IsAligned) {
  EXPECT_EQ(
      format_table(
          {{.name = "gsm8k", .accuracy = 0.4134, .low = 0.379, .high = 0.448, .mean_length = 210.44, .seconds = 93.1},
           {.name = "größer", .accuracy = 1, .low = NAN, .high = NAN, .mean_length = 9, .seconds = NAN}}),
      "name    accuracy  95 % interval  mean length  seconds\n"
      "gsm8k     41.3 %    37.9 – 44.8        210.4     93.1\n"
      "größer   100.0 %              -          9.0        -\n");
  EXPECT_EQ(format_table({}), "name  accuracy  95 % interval  mean length  seconds\n");
  EXPECT_EQ(align_columns({{"a"}, {"bcd"}}), "a\nbcd\n");
  EXPECT_EQ(align_columns({}), "");
  EXPECT_THROW(align_columns({{"a", "b"}, {"c"}}), core::Error);
}

}  // namespace
}  // namespace thinktune::report
