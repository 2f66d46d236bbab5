#include "kernels/instruction_set.h"

#include <algorithm>
#include <bit>

#include "kernel_inputs.h"
#include "kernels/rms_norm.h"
#include "kernels/softmax_row.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

TEST(InstructionSet, StartsWithTheWidest) {
  const std::vector<InstructionSet> sets = available_instruction_sets();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front(), InstructionSet::Baseline);
  EXPECT_EQ(instruction_set(), sets.back());
  EXPECT_TRUE(std::is_sorted(sets.begin(), sets.end()));
}

TEST(InstructionSet, RefusesWhatTheProcessorLacks) {
  if (available_instruction_sets().back() == InstructionSet::Amx) GTEST_SKIP() << "this processor has all of them";
  EXPECT_THROW(set_instruction_set(InstructionSet::Amx), core::Error);
}

TEST(InstructionSet, ChangesWhatRuns) {
  // Sums over lanes differ in the last bits between widths; some of a few hundred rows must show it.
  if (available_instruction_sets().size() < 2) GTEST_SKIP() << "this processor has the baseline alone";
  const int64_t rows = 300, width = 577;
  const std::vector<float> x = normals<float>(rows * width, 1), weight = normals<float>(width, 2);
  std::vector<std::vector<float>> results;
  with_every_instruction_set([&] {
    std::vector<float> y(x.size());
    rms_norm_forward<float>(x.data(), nullptr, weight.data(), {.epsilon = 1e-5}, rows, width, y.data(), nullptr);
    results.push_back(y);
  });
  EXPECT_NE(results.front(), results.back());
}

// Nearest by distance, ties to the even pattern, written without bit tricks.
uint16_t nearest_bf16(float x) {
  const uint16_t below = static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16), above = below + 1;
  const auto value = [](uint16_t bits) {  // the pattern after the largest finite one counts as 2^128
    const double magnitude = (bits & 0x7fff) == 0x7f80 ? 0x1p128 : std::abs(widen(Bf16{bits}));
    return bits & 0x8000 ? -magnitude : magnitude;
  };
  if (std::isinf(x)) return below;
  const double to_below = std::abs(x - value(below)), to_above = std::abs(x - value(above));
  if (to_below != to_above) return to_below < to_above ? below : above;
  return below % 2 == 0 ? below : above;
}

TEST(Bf16, RoundsToNearestEven) {
  std::vector<float> inputs;
  for (uint32_t upper = 0; upper < 0x10000; upper += 7)
    for (uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const float x = std::bit_cast<float>(upper << 16 | lower);
      if (!std::isnan(x)) inputs.push_back(x);
    }
  for (float x : {0.0f, -0.0f, INFINITY, -INFINITY, 3.4028235e38f, -3.4028235e38f, 1e-45f}) inputs.push_back(x);
  const int64_t n = static_cast<int64_t>(inputs.size());
  with_every_instruction_set([&] {
    std::vector<Bf16> stored(n);  // one block: its sum is a store
    sum_blocks<Bf16>(inputs.data(), 1, n, stored.data());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(narrow<Bf16>(inputs[i]).bits, nearest_bf16(inputs[i])) << inputs[i];
      const uint16_t expected = inputs[i] == 0 ? 0 : nearest_bf16(inputs[i]);  // 0 + −0 is 0
      ASSERT_EQ(stored[i].bits, expected) << inputs[i];
    }
  });
}

TEST(Bf16, EveryNanIsTheQuietNan) {
  const std::vector<float> nans = {std::bit_cast<float>(0x7f800001u), std::bit_cast<float>(0xffffffffu), NAN, -NAN};
  with_every_instruction_set([&] {
    std::vector<Bf16> stored(nans.size());
    sum_blocks<Bf16>(nans.data(), 1, static_cast<int64_t>(nans.size()), stored.data());
    for (size_t i = 0; i < nans.size(); ++i) {
      EXPECT_EQ(narrow<Bf16>(nans[i]).bits, 0x7fc0);
      EXPECT_EQ(stored[i].bits, 0x7fc0);
    }
  });
}

TEST(Exp, FloatIsWithinTwoUnitsInTheLastPlace) {
  std::vector<float> x;
  for (double v = -87.33; v < 88.72; v += 1.37e-4) x.push_back(static_cast<float>(v));
  for (float v : {0.0f, -0.0f, 1e-30f, -1e-30f, 1.0f, -1.0f, 88.72283f, -87.33654f}) x.push_back(v);
  with_every_instruction_set([&] {
    std::vector<float> y(x.size());
    exp_row(x.data(), static_cast<int64_t>(x.size()), y.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::exp(static_cast<double>(x[i]));
      const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
      worst = std::max(worst, std::abs(y[i] - exact) / unit);
    }
    EXPECT_LE(worst, 2.0);
    testing::Test::RecordProperty("worst_ulp", std::to_string(worst));
  });
}

TEST(Exp, FloatEdges) {
  const std::vector<float> x = {INFINITY, -INFINITY, NAN, 88.8f, 1e30f, -104.0f, -1e30f, -88.0f, -95.0f, -103.0f, 0.0f};
  with_every_instruction_set([&] {
    std::vector<float> y(x.size());
    exp_row(x.data(), static_cast<int64_t>(x.size()), y.data());
    EXPECT_EQ(y[0], INFINITY);
    EXPECT_EQ(y[1], 0);
    EXPECT_TRUE(std::isnan(y[2]));
    EXPECT_EQ(y[3], INFINITY);
    EXPECT_EQ(y[4], INFINITY);
    EXPECT_EQ(y[5], 0);
    EXPECT_EQ(y[6], 0);
    for (int i : {7, 8, 9}) EXPECT_EQ(y[i], 0) << "what would be denormal";
    EXPECT_EQ(y[10], 1);
  });
}

TEST(Exp, RaggedLengthsWriteNothingElse) {
  for (int64_t n : {0, 1, 3, 15, 16, 17, 33}) {
    const std::vector<float> x = normals<float>(n, 3);
    with_every_instruction_set([&] {
      std::vector<float> y(n + 1, -7.0f);
      exp_row(x.data(), n, y.data());
      EXPECT_EQ(y[n], -7.0f);
      for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(y[i], std::exp(x[i]), 4 * kRoundoff<float> * std::exp(x[i]));
    });
  }
}

}  // namespace
}  // namespace thinktune::kernels
