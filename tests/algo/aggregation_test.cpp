// The weights of a mini-batch's tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "thinktune/algo/loss.h"

namespace thinktune::algo {
namespace {

using rollout::TrainBatch;

TrainBatch batch_of(const std::vector<std::vector<std::vector<uint8_t>>>& groups) {
  TrainBatch batch;
  for (const auto& masks : groups) {
    auto& group = batch.groups.emplace_back();
    for (const auto& mask : masks) {
      auto& sequence = group.sequences.emplace_back();
      sequence.ids.resize(mask.size());
      sequence.loss_mask = mask;
    }
  }
  return batch;
}

// Ragged, with holes, a sequence without a counting token (the longest), and an empty one.
TrainBatch ragged() { return batch_of({{{1, 1, 1}, {1, 0, 1, 0}}, {{0, 0, 0, 0, 0, 0, 0}, {}, {1}}}); }

using Weights = std::vector<std::vector<float>>;

TEST(AggregationWeights, TheFourRules) {
  LossOptions options;
  const float sixth = 1.0F / 6, third = 1.0F / 3, ninth = 1.0F / 9, seventh = 1.0F / 7;
  const std::vector<float> none(7, 0.0F);
  EXPECT_EQ(aggregation_weights(ragged(), options),
            (Weights{{sixth, sixth, sixth}, {sixth, 0, sixth, 0}, none, {}, {sixth}}));
  options.aggregation = Aggregation::SeqMeanTokenSum;
  EXPECT_EQ(aggregation_weights(ragged(), options),
            (Weights{{third, third, third}, {third, 0, third, 0}, none, {}, {third}}));
  options.aggregation = Aggregation::SeqMeanTokenMean;
  EXPECT_EQ(aggregation_weights(ragged(), options),
            (Weights{{ninth, ninth, ninth}, {sixth, 0, sixth, 0}, none, {}, {third}}));
  options.aggregation = Aggregation::SeqMeanTokenSumNorm;
  EXPECT_EQ(aggregation_weights(ragged(), options),
            (Weights{{seventh, seventh, seventh}, {seventh, 0, seventh, 0}, none, {}, {seventh}}));
  options.sum_norm_length = 512;
  const float share = 1.0F / 512;
  EXPECT_EQ(aggregation_weights(ragged(), options),
            (Weights{{share, share, share}, {share, 0, share, 0}, none, {}, {share}}));
}

TEST(AggregationWeights, OfNothingAreFinite) {
  for (const auto& [name, aggregation] : kAggregationNames) {
    LossOptions options;
    options.aggregation = aggregation;
    EXPECT_EQ(aggregation_weights(batch_of({{{0, 0}, {}}}), options), (Weights{{0, 0}, {}})) << name;
    EXPECT_TRUE(aggregation_weights({}, options).empty()) << name;
  }
}

TEST(AggregationWeights, RanksThatAddTheirCountsAgreeWithTheWholeMiniBatch) {
  const TrainBatch whole = ragged();
  const TrainBatch first{{whole.groups[0]}}, second{{whole.groups[1]}};
  const TokenCounts a = count_tokens(first), b = count_tokens(second);
  const TokenCounts all{a.num_tokens + b.num_tokens, a.num_sequences + b.num_sequences, std::max(a.longest, b.longest)};
  EXPECT_EQ(all.num_tokens, 6);
  EXPECT_EQ(all.num_sequences, 3);
  EXPECT_EQ(all.longest, 7);
  for (const auto& [name, aggregation] : kAggregationNames) {
    LossOptions options;
    options.aggregation = aggregation;
    Weights joined = aggregation_weights(first, all, options);
    for (auto& row : aggregation_weights(second, all, options)) joined.push_back(row);
    EXPECT_EQ(joined, aggregation_weights(whole, options)) << name;
  }
}

TEST(AggregationWeights, BrokenBatchesAreNamed) {
  TrainBatch batch = ragged();
  batch.groups[0].sequences[1].loss_mask.pop_back();
  EXPECT_THAT([&] { aggregation_weights(batch, {}); },
              testing::ThrowsMessage<core::Error>(testing::HasSubstr("4 tokens has a loss mask of 3")));
  EXPECT_THAT(
      [&] {
        aggregation_weights(ragged(), TokenCounts{1, 1, 7}, {});
      },
      testing::ThrowsMessage<core::Error>(testing::HasSubstr("counts of another batch")));
}

}  // namespace
}  // namespace thinktune::algo
