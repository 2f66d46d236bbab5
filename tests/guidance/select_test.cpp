#include "thinktune/guidance/select.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "guidance/fakes.h"

namespace thinktune::guidance {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<TokenId> kEnds = {kEnd, kOtherEnd};

SelectionResult select(const std::vector<Group>& groups, const GuidanceOptions& options = {}, double share = 0.1,
                       SelectionKey key = {}) {
  return select_rollouts(groups, kEnds, options, share, key);
}

TEST(Eligible, EndedByItselfWithText) { EXPECT_EQ(eligibility(ended_rollout("x"), kEnds), Eligibility::Eligible); }

TEST(Eligible, AnyEndOfTurnIdEndsATurn) {
  EXPECT_EQ(eligibility(ended_rollout("x", false, kOtherEnd), kEnds), Eligibility::Eligible);
  const std::vector<TokenId> one_end = {kEnd};
  EXPECT_EQ(eligibility(ended_rollout("x", false, kOtherEnd), one_end), Eligibility::NotEnded);
}

TEST(Eligible, NotWhenCutAtTheLimit) {
  EXPECT_EQ(eligibility(cut_rollout("x"), kEnds), Eligibility::NotEnded);
  EXPECT_EQ(eligibility(Rollout{}, kEnds), Eligibility::NotEnded);
  Rollout contradicts = ended_rollout("x");
  contradicts.finish = Finish::Length;
  EXPECT_EQ(eligibility(contradicts, kEnds), Eligibility::NotEnded);
}

TEST(Eligible, NotWithASecondEndOfTurnToken) {
  Rollout rollout = ended_rollout("xy");
  rollout.ids[1] = kOtherEnd;
  EXPECT_EQ(eligibility(rollout, kEnds), Eligibility::SeveralEnds);
}

TEST(Eligible, NotWithoutText) {
  EXPECT_EQ(eligibility(ended_rollout(""), kEnds), Eligibility::Empty);
  EXPECT_EQ(eligibility(ended_rollout(" \n\t"), kEnds), Eligibility::Empty);
}

TEST(Select, CountsEveryKind) {
  Rollout twice = ended_rollout("ab");
  twice.ids[0] = kEnd;
  const auto result = select({group_of(1, {ended_rollout("a"), cut_rollout("b"), ended_rollout(""), twice}),
                              group_of(2, {cut_rollout("c")}), plain_group(3, 2, 1)});
  EXPECT_EQ(result.num_rollouts, 7);
  EXPECT_EQ(result.num_eligible, 3);
  EXPECT_EQ(result.num_candidates, 3);
  EXPECT_EQ(result.num_empty, 1);
  EXPECT_EQ(result.num_not_ended, 2);
  EXPECT_EQ(result.num_several_ends, 1);
  EXPECT_EQ(result.num_groups_without_eligible, 1);
  EXPECT_EQ(result.num_groups_without_success, 2);
}

TEST(Select, AtLeastOneInEveryGroupThatHasAnEligibleOne) {
  const auto result = select({plain_group(1, 5), group_of(2, {cut_rollout("a")}),
                              group_of(3, {cut_rollout("a"), ended_rollout("b")}), plain_group(4, 29)});
  std::map<size_t, int> per_group;
  for (const Chosen& at : result.chosen) ++per_group[at.group];
  EXPECT_EQ(per_group, (std::map<size_t, int>{{0, 1}, {2, 1}, {3, 2}}));
  EXPECT_EQ(result.chosen[1], (Chosen{2, 1}));  // the only eligible one
}

TEST(Select, NothingOfNothing) {
  EXPECT_THAT(select({}).chosen, IsEmpty());
  EXPECT_THAT(select({group_of(1, {})}).chosen, IsEmpty());
  GuidanceOptions global;
  global.selection = Selection::Global;
  EXPECT_THAT(select({group_of(1, {cut_rollout("a")})}, global).chosen, IsEmpty());
}

TEST(Select, WithoutReplacementUpToAll) {
  const auto result = select({plain_group(1, 7)}, {}, 1.0);
  ASSERT_EQ(result.chosen.size(), 7u);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(result.chosen[i], (Chosen{0, i}));
}

TEST(Select, AFunctionOfSeedStepAndPromptAlone) {
  const auto chosen_of = [](const SelectionResult& result, size_t group) {
    std::vector<size_t> places;
    for (const Chosen& at : result.chosen)
      if (at.group == group) places.push_back(at.rollout);
    return places;
  };
  const SelectionKey key{.seed = 7, .step = 3};
  const auto alone = chosen_of(select({plain_group(42, 20)}, {}, 0.3, key), 0);
  ASSERT_EQ(alone.size(), 6u);
  // Other groups before and behind it, one of them without an eligible rollout.
  const auto among = select(
      {plain_group(1, 9), group_of(2, {cut_rollout("a")}), plain_group(42, 20), plain_group(5, 5)}, {}, 0.3, key);
  EXPECT_EQ(chosen_of(among, 2), alone);
  EXPECT_EQ(chosen_of(select({plain_group(42, 20)}, {}, 0.3, key), 0), alone);
  EXPECT_NE(chosen_of(select({plain_group(42, 20)}, {}, 0.3, {.seed = 8, .step = 3}), 0), alone);
  EXPECT_NE(chosen_of(select({plain_group(42, 20)}, {}, 0.3, {.seed = 7, .step = 4}), 0), alone);
  EXPECT_NE(chosen_of(select({plain_group(43, 20)}, {}, 0.3, key), 0), alone);
}

TEST(Select, UniformOverPlacesAndPairs) {
  // 2 of 5 in 20 000 steps: each place 8000 times, each of the ten pairs 2000 times; bounds are five standard
  // deviations.
  const std::vector<Group> groups = {plain_group(9, 5)};
  constexpr int kSteps = 20000;
  std::vector<int> places(5, 0);
  std::map<std::pair<size_t, size_t>, int> pairs;
  for (int step = 0; step < kSteps; ++step) {
    const auto chosen = select(groups, {}, 0.4, {.seed = 1, .step = step}).chosen;
    ASSERT_EQ(chosen.size(), 2u);
    for (const Chosen& at : chosen) ++places[at.rollout];
    ++pairs[{chosen[0].rollout, chosen[1].rollout}];
  }
  for (const int count : places) EXPECT_NEAR(count, 0.4 * kSteps, 5 * std::sqrt(kSteps * 0.4 * 0.6));
  ASSERT_EQ(pairs.size(), 10u);
  for (const auto& [pair, count] : pairs) EXPECT_NEAR(count, 0.1 * kSteps, 5 * std::sqrt(kSteps * 0.1 * 0.9));
}

TEST(Select, IneligibleOnesDoNotBendTheDraw) {
  const std::vector<Group> groups = {
      group_of(9, {cut_rollout("a"), ended_rollout("b"), ended_rollout(""), ended_rollout("d")})};
  constexpr int kSteps = 4000;
  int first = 0;
  for (int step = 0; step < kSteps; ++step) {
    const auto chosen = select(groups, {}, 0.1, {.seed = 2, .step = step}).chosen;
    ASSERT_EQ(chosen.size(), 1u);
    ASSERT_TRUE(chosen[0].rollout == 1 || chosen[0].rollout == 3);
    first += chosen[0].rollout == 1;
  }
  EXPECT_NEAR(first, kSteps / 2, 5 * std::sqrt(kSteps) / 2);
}

TEST(Select, GlobalTakesTheShareOfTheBatch) {
  GuidanceOptions global;
  global.selection = Selection::Global;
  std::vector<Group> groups;
  for (int i = 0; i < 20; ++i) groups.push_back(plain_group(i, 5));
  EXPECT_EQ(select(groups, global, 0.1).chosen.size(), 10u);
  EXPECT_EQ(select(groups, {}, 0.1).chosen.size(), 20u);       // by group: at least one each
  EXPECT_EQ(select(groups, global, 0.001).chosen.size(), 1u);  // at least one in the batch
  const auto all = select(groups, global, 1.0).chosen;
  EXPECT_EQ(all.size(), 100u);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](auto& a, auto& b) {
    return std::pair(a.group, a.rollout) < std::pair(b.group, b.rollout);
  }));
}

TEST(Select, GlobalIsUniformAndDoesNotDependOnTheOrderOfGroups) {
  GuidanceOptions global;
  global.selection = Selection::Global;
  const std::vector<Group> groups = {plain_group(1, 3), plain_group(2, 1), plain_group(3, 6)};
  const std::vector<Group> turned = {groups[2], groups[0], groups[1]};
  const std::vector<size_t> place_in_turned = {1, 2, 0};
  constexpr int kSteps = 10000;
  std::map<std::pair<size_t, size_t>, int> counts;
  for (int step = 0; step < kSteps; ++step) {
    std::set<std::pair<size_t, size_t>> one, other;
    for (const Chosen& at : select(groups, global, 0.3, {.seed = 4, .step = step}).chosen) {
      one.insert({place_in_turned[at.group], at.rollout});
      ++counts[{at.group, at.rollout}];
    }
    for (const Chosen& at : select(turned, global, 0.3, {.seed = 4, .step = step}).chosen)
      other.insert({at.group, at.rollout});
    ASSERT_EQ(one, other);
    ASSERT_EQ(one.size(), 3u);
  }
  ASSERT_EQ(counts.size(), 10u);
  for (const auto& [at, count] : counts) EXPECT_NEAR(count, 0.3 * kSteps, 5 * std::sqrt(kSteps * 0.3 * 0.7));
}

TEST(Select, WrongOnly) {
  GuidanceOptions wrong;
  wrong.select = Select::Wrong;
  std::vector<Group> groups = {plain_group(1, 5, 3), plain_group(2, 4, 4), plain_group(3, 10, 0)};
  groups[0].rollouts[4].judgement.verdict = Verdict::Unparsed;  // no answer found: wrong
  const auto all = select(groups, wrong, 1.0);
  EXPECT_EQ(all.num_eligible, 19);
  EXPECT_EQ(all.num_candidates, 12);
  EXPECT_EQ(all.chosen.size(), 12u);
  for (const Chosen& at : all.chosen)
    EXPECT_NE(groups[at.group].rollouts[at.rollout].judgement.verdict, Verdict::Right);
  // The share is of the wrong ones; a group of right ones is left alone.
  const auto some = select(groups, wrong, 0.2);
  std::map<size_t, int> per_group;
  for (const Chosen& at : some.chosen) ++per_group[at.group];
  EXPECT_EQ(per_group, (std::map<size_t, int>{{0, 1}, {2, 2}}));
}

TEST(Select, WrongOnlyOverTheBatch) {
  GuidanceOptions wrong;
  wrong.select = Select::Wrong;
  wrong.selection = Selection::Global;
  const auto result = select({plain_group(1, 5, 5), plain_group(2, 10, 0)}, wrong, 0.3);
  EXPECT_EQ(result.chosen.size(), 3u);
  for (const Chosen& at : result.chosen) EXPECT_EQ(at.group, 1u);
}

TEST(Select, GroupsWithoutSuccess) {
  GuidanceOptions options;
  options.select = Select::GroupsWithoutSuccess;
  const std::vector<Group> groups = {plain_group(1, 5, 1), plain_group(2, 5, 0),
                                     group_of(3, {cut_rollout("a"), cut_rollout("b")}), plain_group(4, 5, 5),
                                     group_of(5, {ended_rollout("a"), cut_rollout("b")})};
  auto result = select(groups, options, 0.9);
  EXPECT_EQ(result.num_groups_without_success, 3);
  ASSERT_EQ(result.chosen.size(), 2u);  // one each, whatever the share; nothing where no rollout is eligible
  EXPECT_EQ(result.chosen[0].group, 1u);
  EXPECT_EQ(result.chosen[1], (Chosen{4, 0}));
  EXPECT_EQ(select(groups, options, 0.001).chosen, result.chosen);
  options.per_group = 3;
  EXPECT_EQ(select(groups, options).chosen.size(), 4u);  // 3 of the one, all of the other
}

TEST(Select, ASuccessIsMoreThanAVerdict) {
  GuidanceOptions options;
  options.select = Select::GroupsWithoutSuccess;
  // The right answer was found, but the response was cut and earned nothing: GRPO learns nothing from this group.
  Rollout cut = cut_rollout("the answer is 2");
  cut.judgement = {.verdict = Verdict::Right, .success = false, .reward = 0.2};  // a part of it for the form
  EXPECT_THAT(select({group_of(1, {cut, ended_rollout("3")})}, options).chosen, ElementsAre(Chosen{0, 1}));
  cut.judgement.success = true;
  EXPECT_THAT(select({group_of(1, {cut, ended_rollout("3")})}, options).chosen, IsEmpty());
}

TEST(Select, AllRewardsEqualIsNothingSpecial) {
  EXPECT_EQ(select({plain_group(1, 5, 5)}).chosen.size(), 1u);
  EXPECT_EQ(select({plain_group(1, 5, 0)}).chosen.size(), 1u);
}

}  // namespace
}  // namespace thinktune::guidance
