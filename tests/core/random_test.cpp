#include "thinktune/core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace thinktune::core {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers of Random123's kat_vectors for philox4x32 with 10 rounds.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomBits, EveryFieldOfTheKeyMatters) {
  const RandomKey base{.seed = 7, .stream = Stream::Sampling, .step = 3, .prompt = 11, .sample = 2};
  std::vector<RandomKey> keys(12, base);
  keys[1].seed = 8;
  keys[2].seed = 7 + (uint64_t{1} << 32);
  keys[3].stream = Stream::Selection;
  keys[4].step = 4;
  keys[5].step = 3 + (uint64_t{1} << 32);
  keys[6].prompt = 12;
  keys[7].prompt = 11 + (uint64_t{1} << 32);
  keys[8].sample = 3;
  std::swap(keys[9].prompt, keys[9].step);  // the same numbers in other fields
  keys[10] = {.seed = 3, .stream = Stream::Sampling, .step = 7, .prompt = 11, .sample = 2};
  keys[11] = {.seed = 7, .stream = Stream::Sampling, .step = 3, .prompt = 2, .sample = 11};
  std::set<uint64_t> seen;
  for (const RandomKey& key : keys)
    for (uint32_t position = 0; position < 100; ++position) seen.insert(random_bits(key, position));
  EXPECT_EQ(seen.size(), 12u * 100u);
  EXPECT_EQ(random_bits(base, 5), random_bits(base, 5));
}

TEST(RandomUniform, LiesInTheUnitIntervalAndIsFlat) {
  constexpr int kCount = 100000, kBins = 64;
  std::array<int, kBins> bins{};
  double sum = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    const double u = random_uniform({.seed = 1}, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    EXPECT_EQ(std::ldexp(u, 53), std::floor(std::ldexp(u, 53)));
    ++bins[static_cast<size_t>(u * kBins)];
    sum += u;
  }
  double chi2 = 0;
  const double expected = double{kCount} / kBins;
  for (const int n : bins) chi2 += (n - expected) * (n - expected) / expected;
  EXPECT_LT(chi2, 103.4);  // 63 degrees of freedom: P(chi2 > 103.4) = .001; the key is fixed, so this cannot flicker
  EXPECT_GT(chi2, 34.6);   // and P(chi2 < 34.6) = .001: too even is wrong too
  EXPECT_NEAR(sum / kCount, 0.5, 4 * std::sqrt(1.0 / 12 / kCount));
}

// Sequences of neighbouring keys must not be correlated: this is what makes the numbers of two rollouts independent.
TEST(RandomUniform, NeighbouringKeysAreUncorrelated) {
  constexpr uint32_t kCount = 20000;
  const auto correlation = [](const RandomKey& a, const RandomKey& b, uint32_t shift) {
    double sum = 0;
    for (uint32_t i = 0; i < kCount; ++i) sum += (random_uniform(a, i) - 0.5) * (random_uniform(b, i + shift) - 0.5);
    return sum / kCount * 12;
  };
  const double limit = 4 / std::sqrt(double{kCount});
  const RandomKey a{.seed = 1, .step = 1, .prompt = 1, .sample = 1};
  RandomKey b = a;
  EXPECT_LT(std::abs(correlation(a, a, 1)), limit);
  b.sample = 2;
  EXPECT_LT(std::abs(correlation(a, b, 0)), limit);
  EXPECT_LT(std::abs(correlation(a, b, 1)), limit);
  b = a, b.prompt = 2;
  EXPECT_LT(std::abs(correlation(a, b, 0)), limit);
  b = a, b.step = 2;
  EXPECT_LT(std::abs(correlation(a, b, 0)), limit);
  b = a, b.seed = 2;
  EXPECT_LT(std::abs(correlation(a, b, 0)), limit);
  b = a, b.stream = Stream::Selection;
  EXPECT_LT(std::abs(correlation(a, b, 0)), limit);
}

TEST(RandomBelow, StaysBelowItsBoundAndReachesAllValues) {
  std::array<int, 7> seen{};
  for (uint32_t i = 0; i < 7000; ++i) ++seen[random_below({.seed = 3}, i, 7)];
  for (const int n : seen) EXPECT_NEAR(n, 1000, 150);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(random_below({.seed = 3}, i, 1), 0u);
  uint64_t largest = 0;
  for (uint32_t i = 0; i < 1000; ++i) largest = std::max(largest, random_below({.seed = 3}, i, ~uint64_t{0}));
  EXPECT_GT(largest, ~uint64_t{0} / 100 * 98);  // the whole 64 bits are used
}

TEST(RandomPermutation, IsAPermutationOfItsKeyAlone) {
  for (const uint32_t count : {0u, 1u, 2u, 3u, 97u, 1000u}) {
    const auto order = random_permutation({.seed = 5, .stream = Stream::DataOrder}, count);
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    std::vector<uint32_t> all(count);
    std::iota(all.begin(), all.end(), 0u);
    EXPECT_EQ(sorted, all);
    EXPECT_EQ(order, random_permutation({.seed = 5, .stream = Stream::DataOrder}, count));
  }
  EXPECT_NE(random_permutation({.seed = 5, .step = 0}, 100), random_permutation({.seed = 5, .step = 1}, 100));
}

TEST(RandomPermutation, AllOrdersOfThreeAreEquallyLikely) {
  std::array<int, 27> count{};
  for (uint64_t step = 0; step < 6000; ++step) {
    const auto p = random_permutation({.seed = 5, .stream = Stream::DataOrder, .step = step}, 3);
    ++count[p[0] * 9 + p[1] * 3 + p[2]];
  }
  for (const size_t order : {0 * 9 + 1 * 3 + 2, 0 * 9 + 2 * 3 + 1, 1 * 9 + 0 * 3 + 2, 1 * 9 + 2 * 3 + 0,
                             2 * 9 + 0 * 3 + 1, 2 * 9 + 1 * 3 + 0})
    EXPECT_NEAR(count[order], 1000, 120);
}

}  // namespace
}  // namespace thinktune::core
