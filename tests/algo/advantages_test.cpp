#include "thinktune/algo/advantages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace thinktune::algo {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<double> advantages(const std::vector<double>& rewards, const std::vector<uint8_t>& guided,
                               const AdvantageOptions& options) {
  return group_advantages(rewards, guided, options);
}

std::vector<double> unguided(const std::vector<double>& rewards, const AdvantageOptions& options = {}) {
  return group_advantages(rewards, std::vector<uint8_t>(rewards.size(), 0), options);
}

TEST(Advantages, DifferenceFromTheMeanOverTheUnbiasedDeviation) {
  const double std = std::sqrt((0.75 * 0.75 + 3 * 0.25 * 0.25) / 3);  // of 1, 0, 0, 0
  const std::vector<double> a = unguided({1, 0, 0, 0});
  EXPECT_DOUBLE_EQ(a[0], 0.75 / (std + 1e-6));
  for (int i = 1; i < 4; ++i) EXPECT_DOUBLE_EQ(a[i], -0.25 / (std + 1e-6));
  EXPECT_DOUBLE_EQ(unguided({1, 0, 0, 0}, {.epsilon = 0.5})[0], 0.75 / (std + 0.5));
}

// 3 · 0.1 is not 0.3 in doubles: the mean of three is not 0.1, and ε would blow the difference up.
TEST(Advantages, EqualRewardsGiveExactlyZero) {
  for (double reward : {0.0, 1.0, 0.1, 0.7, -1e300, 5e-324})
    for (size_t n : {2, 3, 5, 6, 7, 11})
      for (bool normalize : {true, false})
        for (double epsilon : {0.0, 1e-6})
          for (double a : unguided(std::vector<double>(n, reward), {.normalize_std = normalize, .epsilon = epsilon}))
            EXPECT_EQ(a, 0) << reward << " x " << n;
}

TEST(Advantages, GroupOfOneKeepsItsReward) {
  EXPECT_DOUBLE_EQ(unguided({2})[0], 2 / (1 + 1e-6));
  EXPECT_DOUBLE_EQ(unguided({2}, {.normalize_std = false})[0], 2);
  EXPECT_DOUBLE_EQ(advantages({2}, {1}, {.baseline = Baseline::Unguided})[0], 2 / (1 + 1e-6));
  EXPECT_TRUE(unguided({}).empty());
}

TEST(Advantages, WithoutTheDeviation) {
  EXPECT_EQ(unguided({1, 0, 0, 1}, {.normalize_std = false}), (std::vector<double>{0.5, -0.5, -0.5, 0.5}));
}

TEST(Advantages, BaselineOfUnguidedRollouts) {
  const AdvantageOptions by_unguided{.baseline = Baseline::Unguided};
  const double std = std::sqrt(0.5);  // of 1, 0; mean 0.5
  const std::vector<double> a = advantages({1, 0, 1, 3}, {0, 0, 1, 1}, by_unguided);
  EXPECT_DOUBLE_EQ(a[0], 0.5 / (std + 1e-6));
  EXPECT_DOUBLE_EQ(a[1], -0.5 / (std + 1e-6));
  EXPECT_DOUBLE_EQ(a[2], 0.5 / (std + 1e-6));
  EXPECT_DOUBLE_EQ(a[3], 2.5 / (std + 1e-6));
  EXPECT_NE(a, advantages({1, 0, 1, 3}, {0, 0, 1, 1}, {}));
}

TEST(Advantages, UnguidedBaselineWithoutUnguidedRolloutsTakesAll) {
  EXPECT_EQ(advantages({1, 0, 3}, {1, 1, 1}, {.baseline = Baseline::Unguided}), unguided({1, 0, 3}));
}

TEST(Advantages, UnguidedBaselineWithoutDeviationTakesTheGroups) {
  const AdvantageOptions by_unguided{.baseline = Baseline::Unguided};
  // No success but the guided one: a bare division by epsilon would be 1e6.
  const double std = std::sqrt((0.75 * 0.75 + 3 * 0.25 * 0.25) / 3);
  EXPECT_EQ(advantages({0, 0, 0, 1}, {0, 0, 0, 1}, by_unguided), (std::vector<double>{0, 0, 0, 1 / (std + 1e-6)}));
  EXPECT_EQ(advantages({0, 1}, {0, 1}, by_unguided), (std::vector<double>{0, 1 / (std::sqrt(0.5) + 1e-6)}));
  for (double a : advantages({0.1, 0.1, 0.1}, {0, 0, 1}, by_unguided)) EXPECT_EQ(a, 0);
}

TEST(Advantages, BrokenInputsAreNamed) {
  EXPECT_THAT([] { advantages({1, 2}, {0}, {}); }, ThrowsMessage<core::Error>(HasSubstr("2 rewards, 1 guided flags")));
  EXPECT_THAT([] { unguided({1, std::nan("")}); }, ThrowsMessage<core::Error>(HasSubstr("reward 1 is nan")));
  EXPECT_THAT(
      [] {
        unguided({1, std::numeric_limits<double>::infinity()});
      },
      ThrowsMessage<core::Error>(HasSubstr("reward 1 is inf")));
}

TEST(AdvantageOptions, RangesAreChecked) {
  EXPECT_NO_THROW(validate(AdvantageOptions{}));
  for (double epsilon : {-1e-9, 1.5, std::nan("")})
    EXPECT_THAT([&] { validate(AdvantageOptions{.epsilon = epsilon}); },
                ThrowsMessage<core::Error>(HasSubstr("advantage.epsilon")));
}

}  // namespace
}  // namespace thinktune::algo
