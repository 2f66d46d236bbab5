// Products of tiles, what they read, and the softmax between their products.
#include <algorithm>

#include "kernel_inputs.h"
#include "kernels/decode_attention.h"
#include "kernels/matrix_tiles.h"
#include "kernels/round_rows.h"
#include "kernels/softmax_block.h"
#include "kernels/tile_layout.h"

namespace thinktune::kernels {
namespace {

constexpr Bf16 kCanary{0xbeef};

// Where the number stands that is summed over as number `depth`, of column `column`, of `depths` in all.
int64_t right_side_at(int64_t depth, int64_t column, int64_t depths) {
  const int64_t panel = column / 32 * tile_depth(depths) * 32;
  return panel + depth / 32 * 1024 + column % 32 / 16 * 512 + depth % 32 / 2 * 32 + column % 16 * 2 + depth % 2;
}

TEST(TileLayout, OfRowsAndColumnsWithZerosBehind) {
  constexpr int64_t kStride = 83;
  const std::vector<Bf16> rows = normals<Bf16>(70 * kStride, 1);
  with_every_instruction_set([&] {
    for (const int64_t num_rows : {1, 2, 15, 16, 17, 31, 32, 33, 70})
      for (const int64_t width : {2, 8, 30, 32, 34, 64, 80}) {
        SCOPED_TRACE(testing::Message() << num_rows << " rows of " << width);
        const auto element = [&](int64_t r, int64_t c) {
          return r < num_rows && c < width ? rows[r * kStride + c].bits : 0;
        };
        if (num_rows <= kTilePanel) {
          std::vector<Bf16> panel(tile_depth(width) * kTilePanel + 1, kCanary);
          pack_along_rows(rows.data(), kStride, num_rows, width, panel.data());
          EXPECT_EQ(panel.back().bits, kCanary.bits);
          for (int64_t i = 0; i < tile_depth(width); ++i)
            for (int64_t c = 0; c < kTilePanel; ++c)
              ASSERT_EQ(panel[right_side_at(i, c, width)].bits, element(c, i)) << "row " << c << ", element " << i;
        }
        std::vector<Bf16> panels(num_panels(width) * kTilePanel * tile_depth(num_rows) + 1, kCanary);
        pack_over_rows(rows.data(), kStride, num_rows, width, tile_depth(num_rows) * kTilePanel, panels.data());
        EXPECT_EQ(panels.back().bits, kCanary.bits);
        for (int64_t r = 0; r < tile_depth(num_rows); ++r)
          for (int64_t c = 0; c < num_panels(width) * kTilePanel; ++c)
            ASSERT_EQ(panels[right_side_at(r, c, num_rows)].bits, element(r, c)) << "row " << r << ", element " << c;

        const int64_t sixteens = (width + 15) / 16;
        std::vector<Bf16> columns(sixteens * 16 * tile_depth(num_rows) + 1, kCanary);
        pack_columns(rows.data(), kStride, num_rows, width, 16 * tile_depth(num_rows), columns.data());
        EXPECT_EQ(columns.back().bits, kCanary.bits);
        for (int64_t c = 0; c < sixteens * 16; ++c)
          for (int64_t r = 0; r < tile_depth(num_rows); ++r)
            ASSERT_EQ(columns[c / 16 * 16 * tile_depth(num_rows) + r / 32 * 512 + c % 16 * 32 + r % 32].bits,
                      element(r, c))
                << "row " << r << ", element " << c;
      }
  });
}

// Each number of rows of a block, from all three kinds of sides, against sums in double.
TEST(MatrixTiles, MultiplyAsTheTwin) {
  constexpr int64_t kDepth = 96, kStride = 101, kOutStride = 37;
  const std::vector<Bf16> left = normals<Bf16>(kDepth * kStride, 1), right = normals<Bf16>(kDepth * kStride, 2);
  const std::vector<float> before = normals<float>(kTileBlock * kOutStride, 3);
  std::vector<Bf16> along(kDepth * kTilePanel), over(kDepth * kTilePanel), columns(kTileBlock * kDepth);
  pack_along_rows(right.data(), kStride, kTilePanel, kDepth, along.data());
  pack_over_rows(right.data(), kStride, kDepth, kTilePanel, kDepth * kTilePanel, over.data());
  pack_columns(left.data(), kStride, kDepth, kTileBlock, 16 * kDepth, columns.data());
  const TileRows rows = plain_rows(left.data(), kStride);
  const TileRows turned{columns.data(), kTileDepth, 16 * kTileDepth, kDepth / kTileDepth * 16 * kTileDepth};
  const Ahead to_be_written{
      .rows = before.data(), .num_rows = kTileBlock, .row_bytes = 4 * kOutStride, .lines_a_row = 2};
  with_every_instruction_set([&] {
    for (int64_t num_rows = 1; num_rows <= kTileBlock; ++num_rows)
      for (const bool adds : {false, true})
        for (const Ahead& ahead : {Ahead(), Ahead::streamed(along.data()), to_be_written}) {
          const MatrixTiles tiles(num_rows);
          for (const bool of_columns : {false, true}) {
            std::vector<float> out = before;
            tiles.multiply(of_columns ? turned : rows, kDepth, of_columns ? over.data() : along.data(), ahead, adds,
                           out.data(), kOutStride);
            for (int64_t r = 0; r < kTileBlock; ++r)
              for (int64_t c = 0; c < kOutStride; ++c) {
                const int64_t at = r * kOutStride + c;
                if (r >= num_rows || c >= kTilePanel) {
                  ASSERT_EQ(out[at], before[at]) << r << " " << c;
                  continue;
                }
                double exact = adds ? before[at] : 0, size = std::abs(exact);
                for (int64_t i = 0; i < kDepth; ++i) {
                  const double term = of_columns ? widen(left[i * kStride + r]) * widen(right[i * kStride + c])
                                                 : widen(left[r * kStride + i]) * widen(right[c * kStride + i]);
                  exact += term;
                  size += std::abs(term);
                }
                ASSERT_NEAR(out[at], exact, kDepth * kRoundoff<float> * size) << r << " " << c;
              }
          }
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
            for (int64_t i = n; i < tile_depth(n); ++i) EXPECT_EQ(weights[r * kWidth + i].bits, 0);
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

TEST(AddRows, AddsToWhatStandsThere) {
  const std::vector<float> x = normals<float>(3 * 40, 13), before = normals<float>(3 * 41, 14);
  with_every_instruction_set([&] {
    std::vector<float> sums = before;
    add_rows<float>(x.data(), 40, 3, 37, 41, sums.data());
    for (int64_t r = 0; r < 3; ++r)
      for (int64_t i = 0; i < 41; ++i)
        EXPECT_EQ(sums[r * 41 + i], i < 37 ? before[r * 41 + i] + x[r * 40 + i] : before[r * 41 + i]) << r << " " << i;
  });
}

}  // namespace
}  // namespace thinktune::kernels
