#include "thinktune/eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

TEST(WilsonInterval, EqualsPublishedValues) {
  // Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I,
  // method 3.
  const struct {
    int64_t successes, count;
    double low, high;
  } cases[] = {{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0.0000, 0.1611}, {1, 29, 0.0061, 0.1718}};
  for (const auto& c : cases) {
    const Interval interval = wilson_interval(c.successes, c.count);
    EXPECT_NEAR(interval.low, c.low, 5e-5) << c.successes << " of " << c.count;
    EXPECT_NEAR(interval.high, c.high, 5e-5) << c.successes << " of " << c.count;
    const Interval mirrored = wilson_interval(c.count - c.successes, c.count);
    EXPECT_NEAR(mirrored.low, 1 - interval.high, 1e-12);
    EXPECT_NEAR(mirrored.high, 1 - interval.low, 1e-12);
  }
}

TEST(WilsonInterval, StaysWithinZeroAndOneAroundTheShare) {
  for (const int64_t count : {1, 2, 7, 200, 1'000'000})
    for (const int64_t successes : {int64_t{0}, count / 3, count}) {
      const Interval interval = wilson_interval(successes, count);
      const double share = static_cast<double>(successes) / static_cast<double>(count);
      EXPECT_GE(interval.low, 0);
      EXPECT_LE(interval.high, 1);
      EXPECT_LE(interval.low, share + 1e-12);
      EXPECT_GE(interval.high, share - 1e-12);
    }
  EXPECT_EQ(wilson_interval(0, 0).low, 0);
  EXPECT_EQ(wilson_interval(0, 0).high, 1);
}

TEST(PassAtK, ByHand) {
  EXPECT_DOUBLE_EQ(pass_at_k(1, 0, 1), 0);
  EXPECT_DOUBLE_EQ(pass_at_k(1, 1, 1), 1);
  EXPECT_DOUBLE_EQ(pass_at_k(5, 2, 1), 0.4);
  EXPECT_DOUBLE_EQ(pass_at_k(5, 2, 2), 0.7);  // 1 - C(3,2)/C(5,2) = 1 - 3/10
  EXPECT_DOUBLE_EQ(pass_at_k(5, 2, 3), 0.9);  // 1 - C(3,3)/C(5,3) = 1 - 1/10
  EXPECT_DOUBLE_EQ(pass_at_k(5, 2, 4), 1);    // fewer failures than draws
  EXPECT_DOUBLE_EQ(pass_at_k(5, 0, 5), 0);
  EXPECT_DOUBLE_EQ(pass_at_k(10, 10, 3), 1);
}

// The mean over all subsets of k samples, counted one by one.
TEST(PassAtK, IsTheShareOfSubsetsWithASuccess) {
  for (int n = 1; n <= 10; ++n)
    for (int c = 0; c <= n; ++c)
      for (int k = 1; k <= n; ++k) {
        int subsets = 0, with = 0;
        for (int set = 0; set < 1 << n; ++set) {
          if (__builtin_popcount(static_cast<unsigned>(set)) != k) continue;
          ++subsets;
          with += (set & ((1 << c) - 1)) != 0;
        }
        EXPECT_NEAR(pass_at_k(n, c, k), static_cast<double>(with) / subsets, 1e-12) << n << ' ' << c << ' ' << k;
      }
}

TEST(PassAtK, StaysFiniteWhereBinomialsDoNot) {
  // C(100000, 50000) has 30,000 digits. One success: exactly k/n.
  EXPECT_NEAR(pass_at_k(100'000, 1, 50'000), 0.5, 1e-12);
  EXPECT_NEAR(pass_at_k(100'000, 50'000, 64), 1, 1e-12);
  EXPECT_THROW(pass_at_k(4, 2, 5), core::Error);
  EXPECT_THROW(pass_at_k(4, 2, 0), core::Error);
}

TEST(EstimateShare, OneSampleIsWilsons) {
  const double means[] = {1, 0, 0, 1, 1};
  const Estimate e = estimate_share(means, 1);
  EXPECT_DOUBLE_EQ(e.mean, 0.6);
  EXPECT_NEAR(e.standard_error, std::sqrt((3 * 0.16 + 2 * 0.36) / (5 * 4)), 1e-15);
  EXPECT_EQ(e.method, "wilson");
  EXPECT_EQ(e.interval.low, wilson_interval(3, 5).low);
  EXPECT_EQ(e.interval.high, wilson_interval(3, 5).high);
}

TEST(EstimateShare, SeveralSamplesAreClusteredByProblem) {
  const double means[] = {0, 0.5, 1, 0.5};  // mean 0.5; squares 0.25 + 0 + 0.25 + 0
  const Estimate e = estimate_share(means, 4);
  EXPECT_DOUBLE_EQ(e.mean, 0.5);
  EXPECT_NEAR(e.standard_error, std::sqrt(0.5 / 12), 1e-15);
  EXPECT_EQ(e.method, "normal, clustered by problem");
  EXPECT_NEAR(e.interval.low, 0.5 - 1.959963984540054 * std::sqrt(0.5 / 12), 1e-12);
  EXPECT_NEAR(e.interval.high, 0.5 + 1.959963984540054 * std::sqrt(0.5 / 12), 1e-12);
  // Ten times the samples of the same problems tell nothing new of other problems.
  EXPECT_DOUBLE_EQ(estimate_share(means, 40).standard_error, e.standard_error);
}

TEST(EstimateShare, CutsTheIntervalAndNeverClaimsCertainty) {
  const double low[] = {0, 0, 0, 0.25};
  EXPECT_EQ(estimate_share(low, 4).interval.low, 0);
  const double all[] = {1, 1, 1};
  EXPECT_EQ(estimate_share(all, 8).interval.low, wilson_interval(3, 3).low);
  EXPECT_EQ(estimate_share(all, 8).interval.high, 1);
  EXPECT_EQ(estimate_share({}, 1).interval.high, 1);
}

TEST(ComparePaired, AgreesWithTheEnumeratedBootstrap) {
  // Three problems: differences 1, 0, 0. All 27 resamples: the sum is binomial(3, 1/3): 8, 12, 6, 1 of 27 for 0 … 3.
  const double a[] = {0, 1, 0.5}, b[] = {1, 1, 0.5};
  const PairedComparison c = compare_paired(a, b, 7, 200'000);
  EXPECT_NEAR(c.difference, 1.0 / 3, 1e-15);
  EXPECT_DOUBLE_EQ(c.interval.low, 0);     // the share below is 8/27
  EXPECT_NEAR(c.interval.high, 1, 1e-12);  // 1/27 of the resamples are all ones: more than 2.5 %
  // As far from 1/3 as 0 is: sums 0, 2, 3.
  EXPECT_NEAR(c.p_value, 15.0 / 27, 4e-3);
}

TEST(ComparePaired, IsAFunctionOfItsArguments) {
  std::vector<double> a(50), b(50);
  for (size_t i = 0; i < 50; ++i) {
    a[i] = i % 3 == 0;
    b[i] = i % 2 == 0;
  }
  const PairedComparison once = compare_paired(a, b, 1), again = compare_paired(a, b, 1),
                         other = compare_paired(a, b, 2);
  EXPECT_EQ(once.p_value, again.p_value);
  EXPECT_EQ(once.interval.low, again.interval.low);
  EXPECT_NE(once.p_value, other.p_value);
  EXPECT_NEAR(once.p_value, other.p_value, 0.03);
  EXPECT_EQ(once.num_resamples, 10'000);
  const PairedComparison turned = compare_paired(b, a, 1);
  EXPECT_EQ(turned.difference, -once.difference);
  EXPECT_EQ(turned.p_value, once.p_value);
}

TEST(ComparePaired, TheExtremes) {
  const std::vector<double> zeros(40, 0), ones(40, 1);
  EXPECT_EQ(compare_paired(zeros, zeros, 1).p_value, 1);
  const PairedComparison all = compare_paired(zeros, ones, 1);
  EXPECT_EQ(all.difference, 1);
  EXPECT_EQ(all.interval.low, 1);
  EXPECT_NEAR(all.p_value, 1.0 / 10'001, 1e-12);
  EXPECT_THROW(compare_paired({}, {}, 1), core::Error);
}

}  // namespace
}  // namespace thinktune::eval
