// What matrix tiles read, and the softmax between their products.
#include <algorithm>

#include "kernel_inputs.h"
#include "kernels/decode_attention.h"
#include "kernels/round_rows.h"
#include "kernels/softmax_block.h"
#include "kernels/tile_layout.h"

namespace thinktune::kernels {
namespace {

constexpr Bf16 kCanary{0xbeef};

TEST(TileLayout, PairsAlongRowsAndOverRows) {
  constexpr int64_t kStride = 83;
  const std::vector<Bf16> rows = normals<Bf16>(kTilePanel * kStride, 1);
  with_every_instruction_set([&] {
    for (const int64_t num_rows : {1, 2, 15, 16, 17, 63, 64})
      for (const int64_t width : {2, 8, 30, 32, 34, 64, 80}) {
        SCOPED_TRACE(testing::Message() << num_rows << " rows of " << width);
        std::vector<Bf16> panel(width * kTilePanel + 1, kCanary);
        pack_along_rows(rows.data(), kStride, num_rows, width, panel.data());
        EXPECT_EQ(panel.back().bits, kCanary.bits);
        for (int64_t i = 0; i < width; ++i)
          for (int64_t c = 0; c < kTilePanel; ++c)
            ASSERT_EQ(panel[(i / 2 * kTilePanel + c) * 2 + i % 2].bits, c < num_rows ? rows[c * kStride + i].bits : 0)
                << "row " << c << ", element " << i;

        const int64_t even = (num_rows + 1) / 2 * 2;
        std::vector<Bf16> pairs(even * width + 1, kCanary);
        pack_over_rows(rows.data(), kStride, num_rows, width, pairs.data());
        EXPECT_EQ(pairs.back().bits, kCanary.bits);
        for (int64_t r = 0; r < even; ++r)
          for (int64_t c = 0; c < width; ++c)
            ASSERT_EQ(pairs[(r / 2 * width + c) * 2 + r % 2].bits, r < num_rows ? rows[r * kStride + c].bits : 0)
                << "row " << r << ", element " << c;
      }
  });
}

// Scores in blocks, against the softmax of all of them in double.
TEST(SoftmaxBlock, InBlocksLikeTheWhole) {
  constexpr int64_t kRows = 5, kWidth = 64;
  with_every_instruction_set([&] {
    for (const double softcap : {0.0, 2.5})
      for (const std::vector<int64_t>& blocks : {std::vector<int64_t>{1}, {64}, {17, 64, 3}, {64, 31, 16}}) {
        int64_t total = 0;
        for (const int64_t n : blocks) total += n;
        const std::vector<float> scores = normals<float>(kRows * total, 7, 8.0);
        const double scale = 0.37;
        const auto score = [&](int64_t r, int64_t t) {
          const double s = scores[r * total + t] * scale;
          return softcap > 0 ? softcap * std::tanh(s / softcap) : s;
        };
        std::vector<float> max(kRows, -INFINITY), sum(kRows, 0), factor(kRows), weighted(kRows, 0);
        int64_t before = 0;
        for (const int64_t n : blocks) {
          std::vector<float> block(kRows * kWidth, 1e30F);
          for (int64_t r = 0; r < kRows; ++r)
            std::copy_n(scores.begin() + r * total + before, n, block.begin() + r * kWidth);
          std::vector<Bf16> weights(kRows * kWidth + 1, kCanary);
          softmax_block(block.data(),
                        {.num_rows = kRows, .num_positions = n, .width = kWidth, .scale = scale, .softcap = softcap},
                        max.data(), sum.data(), factor.data(), weights.data());
          EXPECT_EQ(weights.back().bits, kCanary.bits);
          scale_rows(weighted.data(), 1, kRows, 1, factor.data());
          for (int64_t r = 0; r < kRows; ++r) {
            for (int64_t i = n; i < kWidth; ++i) EXPECT_EQ(weights[r * kWidth + i].bits, 0);
            for (int64_t i = 0; i < n; ++i) weighted[r] += widen(weights[r * kWidth + i]) * (before + i);
          }
          before += n;
        }
        for (int64_t r = 0; r < kRows; ++r) {
          double largest = -INFINITY, all = 0, mean = 0;
          for (int64_t t = 0; t < total; ++t) largest = std::max(largest, score(r, t));
          for (int64_t t = 0; t < total; ++t) all += std::exp(score(r, t) - largest);
          for (int64_t t = 0; t < total; ++t) mean += std::exp(score(r, t) - largest) / all * t;
          EXPECT_NEAR(max[r], largest, 8 * std::abs(largest) * kRoundoff<float>);
          // Each weight is rounded to bf16, in numerator and sum alike.
          EXPECT_NEAR(sum[r], all, all * 1.1 * kRoundoff<Bf16>);
          EXPECT_NEAR(weighted[r] / sum[r], mean, 1e-6 + 2.2 * kRoundoff<Bf16> * mean);
        }
      }
  });
}

TEST(RoundRows, AddsTheBiasAndRoundsOnce) {
  const std::vector<float> sums = normals<float>(3 * 40, 11);
  const std::vector<Bf16> bias = normals<Bf16>(37, 12);
  with_every_instruction_set([&] {
    for (const Bf16* b : {bias.data(), static_cast<const Bf16*>(nullptr)}) {
      std::vector<Bf16> out(3 * 41, kCanary);
      round_rows<Bf16>(sums.data(), 40, b, 3, 37, 41, out.data());
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t i = 0; i < 41; ++i) {
          const Bf16 expected =
              i < 37 ? narrow<Bf16>(b != nullptr ? sums[r * 40 + i] + widen(b[i]) : sums[r * 40 + i]) : kCanary;
          EXPECT_EQ(out[r * 41 + i].bits, expected.bits) << r << " " << i;
        }
    }
  });
}

}  // namespace
}  // namespace thinktune::kernels
