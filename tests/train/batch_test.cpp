// Letters: M response tokens, T tokens of one sequence, V vocabulary.
#include "thinktune/train/batch.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "src/train/stages.h"
#include "thinktune/model/packed_attention.h"
#include "train/small_run.h"

namespace thinktune::train {
namespace {

using core::TokenId;
using rollout::Origin;

struct Made {
  int64_t length = 1;
  double advantage = 0;
  int64_t num_teacher = 0;  // tokens at the end that the teacher wrote; more than 0: guided
};

rollout::Group group_of(int64_t prompt_tokens, const std::vector<Made>& rollouts, uint64_t number) {
  const core::RandomKey key = {.seed = 3, .stream = core::Stream::Init, .prompt = number};
  uint32_t draw = 0;
  const auto token = [&] { return static_cast<TokenId>(3 + core::random_below(key, draw++, 250)); };
  rollout::Group group;
  group.prompt.number = number;
  for (int64_t i = 0; i < prompt_tokens; ++i) group.prompt.ids.push_back(token());
  for (const Made& made : rollouts) {
    rollout::Rollout& r = group.rollouts.emplace_back();
    for (int64_t i = 0; i < made.length; ++i) {
      r.ids.push_back(token());
      r.origin.push_back(i < made.length - made.num_teacher ? Origin::Student : Origin::Phrase);
    }
    r.sampler_logprobs.assign(r.ids.size(), -1);
    r.advantage = made.advantage;
    r.guidance.guided = made.num_teacher > 0;
  }
  return group;
}

TrainOptions options_of(int64_t mini_batch_prompts, int64_t micro_batch_tokens) {
  TrainOptions o;
  o.update.mini_batch_prompts = mini_batch_prompts;
  o.update.micro_batch_tokens = micro_batch_tokens;
  return o;
}

std::vector<rollout::Group> some_groups() {
  return {group_of(7, {{5, 1}, {1, -1}, {12, 0.5}, {3, -0.5}}, 0), group_of(20, {{4, -0.7}, {9, 1.4, 4}, {2, -0.7}}, 1),
          group_of(1, {{1, 1}, {1, -1}}, 2), group_of(11, {{40, 1}, {6, -1}}, 3)};
}

TEST(Batch, WhatWasNotScoredMovesNothing) {
  std::vector<rollout::Group> groups = {group_of(7, {{5, 0}, {4, 0}, {12, 0}, {3, 0}}, 0)};
  auto& rollouts = groups[0].rollouts;
  rollouts[0].judgement.reward = 1;
  rollouts[2].judgement.scored = false;  // its reward of 0 is no judgement
  std::vector<rollout::Group> without = groups;
  without[0].rollouts.erase(without[0].rollouts.begin() + 2);
  assign_advantages(groups, {});
  assign_advantages(without, {});
  EXPECT_EQ(rollouts[2].advantage, 0);
  EXPECT_NEAR(rollouts[0].advantage, 2 / std::sqrt(3.0), 1e-5);  // of 1, 0, 0: (1 − ⅓) / √⅓

  TrainOptions o = options_of(1, 1000);
  o.loss.entropy_coefficient = 0.1;  // which counts without an advantage too
  const auto minis = make_mini_batches(groups, o), expected = make_mini_batches(without, o);
  ASSERT_EQ(minis[0].micro_batches.size(), 1U);
  EXPECT_EQ(minis[0].micro_batches[0].weights_M, expected[0].micro_batches[0].weights_M);
  const auto& sequences = minis[0].micro_batches[0].groups[0].sequences;
  ASSERT_EQ(sequences.size(), 3U);
  EXPECT_EQ(sequences[2].ids, rollouts[3].ids);

  for (rollout::Rollout& r : rollouts) r.judgement.scored = false;
  assign_advantages(groups, {});
  EXPECT_TRUE(make_mini_batches(groups, o)[0].micro_batches.empty());
}

TEST(Batch, MicroBatchesKeepTheLimitAndNeverSplitASequence) {
  const auto groups = some_groups();
  for (const int64_t limit : {1, 12, 19, 27, 60, 100000}) {
    const auto minis = make_mini_batches(groups, options_of(4, limit));
    ASSERT_EQ(minis.size(), 1U);
    std::vector<std::vector<TokenId>> expected, found;
    for (const rollout::Group& group : groups)
      for (const rollout::Rollout& r : group.rollouts) {
        expected.push_back(group.prompt.ids);
        expected.push_back(r.ids);
      }
    for (const MicroBatch& micro : minis[0].micro_batches) {
      size_t sequences = 0, tokens = 0;
      int64_t packed = 0;
      for (const rollout::TrainGroup& group : micro.groups) {
        packed += std::ssize(group.prompt_ids);
        for (const rollout::TrainSequence& s : group.sequences) {
          found.push_back(group.prompt_ids);
          found.push_back(s.ids);
          tokens += s.ids.size();
          packed += std::ssize(s.ids) - 1;
          ++sequences;
        }
      }
      EXPECT_EQ(packed_tokens(micro), packed);
      EXPECT_TRUE(packed <= limit || sequences == 1)
          << packed << " tokens of " << sequences << " sequences, limit " << limit;
      EXPECT_EQ(micro.weights_M.size(), tokens);
    }
    EXPECT_EQ(found, expected) << "every sequence once, whole, in order, behind its own prompt; limit " << limit;
    if (limit == 1) {
      EXPECT_EQ(minis[0].micro_batches.size(), 10U) << "two responses of one token add nothing to their prompt of one";
    } else if (limit == 100000) {
      EXPECT_EQ(minis[0].micro_batches.size(), 1U);
      EXPECT_EQ(minis[0].micro_batches[0].groups.size(), 4U) << "prompts once a group";
    }
  }
}

TEST(Batch, SequencesWithoutGradientAreLeftOutButCountInTheWeights) {
  std::vector<rollout::Group> groups = {group_of(5, {{4, 0}, {6, 0}}, 0), group_of(5, {{8, 1}, {2, -1}, {10, 0}}, 1)};
  const auto with_zeros = make_mini_batches(groups, options_of(2, 1000));
  ASSERT_EQ(with_zeros.size(), 1U);
  EXPECT_EQ(with_zeros[0].num_sequences, 5);
  EXPECT_EQ(with_zeros[0].num_left_out, 3);
  ASSERT_EQ(with_zeros[0].micro_batches.size(), 1U);
  const MicroBatch& micro = with_zeros[0].micro_batches[0];
  ASSERT_EQ(micro.groups.size(), 1U) << "a group without gradient does not cost its prompt";
  EXPECT_EQ(micro.weights_M, std::vector<float>(10, 1.0F / 30)) << "token-mean over all 30 response tokens";

  TrainOptions kl = options_of(2, 1000), entropy = options_of(2, 1000);
  kl.loss.kl_coefficient = 0.1;
  entropy.loss.entropy_coefficient = 0.1;
  for (const TrainOptions& o : {kl, entropy}) EXPECT_EQ(make_mini_batches(groups, o)[0].num_left_out, 0);

  for (rollout::Rollout& r : groups[1].rollouts) r.advantage = 0;
  const auto nothing = make_mini_batches(groups, options_of(2, 1000));
  EXPECT_TRUE(nothing[0].micro_batches.empty());
  EXPECT_EQ(nothing[0].num_left_out, 5);
}

TEST(Batch, EveryMicroBatchIsOneRanksAndTheLongestAreDividedFirst) {
  std::vector<rollout::Group> groups;
  for (uint64_t number = 0; number < 13; ++number)
    groups.push_back(group_of(5, {{1 + static_cast<int64_t>(number * number % 37), 1}, {4, -1}}, number));
  for (const bool fixed : {false, true})
    for (const int64_t num_ranks : {1, 2, 3, 20}) {
      SCOPED_TRACE(fmt::format("{} ranks{}", num_ranks, fixed ? ", fixed order" : ""));
      TrainOptions o = options_of(13, 40);
      o.comm.fixed_order = fixed;
      const auto all = make_mini_batches(groups, o, num_ranks);
      ASSERT_EQ(all.size(), 1U);
      const std::vector<MicroBatch>& micro_batches = all[0].micro_batches;
      EXPECT_EQ(all[0].num_micro_batches, std::ssize(micro_batches));
      std::vector<int64_t> seen(micro_batches.size(), 0), loads;
      int64_t rounds = 0, longest = 0;
      for (int64_t rank = 0; rank < num_ranks; ++rank) {
        auto own = all;
        keep_own(own, rank, num_ranks, o.comm);
        EXPECT_EQ(own[0].num_micro_batches, std::ssize(micro_batches));
        int64_t& load = loads.emplace_back(0);
        for (const MicroBatch& micro : own[0].micro_batches) {
          ++seen.at(static_cast<size_t>(micro.number));
          EXPECT_EQ(micro.weights_M, micro_batches.at(static_cast<size_t>(micro.number)).weights_M);
          if (fixed) {
            EXPECT_EQ(micro.number % num_ranks, rank);
          }
          load += packed_tokens(micro);
          longest = std::max(longest, packed_tokens(micro));
        }
        rounds = std::max(rounds, std::ssize(own[0].micro_batches));
        EXPECT_GE(own[0].num_rounds, std::ssize(own[0].micro_batches));
        if (rank == num_ranks - 1) {
          EXPECT_EQ(own[0].num_rounds, rounds);
        }
      }
      EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int64_t n) { return n == 1; }));
      // What the greedy rule guarantees: no rank is ahead of another by more than one micro-batch.
      const auto [least, most] = std::minmax_element(loads.begin(), loads.end());
      EXPECT_TRUE(fixed || *most - *least <= longest);
    }
}

TEST(Batch, SeveralRanksGetSmallerMicroBatchesWithTheSameWeights) {
  const std::vector<rollout::Group> groups = some_groups();
  const auto weights = [](const std::vector<MiniBatch>& minis) {
    std::vector<float> all;
    for (const MicroBatch& micro : minis.at(0).micro_batches)
      all.insert(all.end(), micro.weights_M.begin(), micro.weights_M.end());
    return all;
  };
  TrainOptions o = options_of(4, 1000);
  const auto one = make_mini_batches(groups, o), three = make_mini_batches(groups, o, 3);
  EXPECT_EQ(one[0].num_micro_batches, 1);
  EXPECT_GE(three[0].num_micro_batches, 3);
  EXPECT_EQ(weights(one), weights(three));
  o.comm.fixed_order = true;
  EXPECT_EQ(make_mini_batches(groups, o, 3)[0].num_micro_batches, 1) << "what a micro-batch holds must not change";
}

TEST(Batch, MiniBatchesTakeGroupsInOrderAndTheLastMayBeSmaller) {
  std::vector<rollout::Group> groups = some_groups();
  groups.push_back(group_of(3, {{2, 1}}, 4));
  const auto minis = make_mini_batches(groups, options_of(2, 1000));
  ASSERT_EQ(minis.size(), 3U);
  EXPECT_EQ(minis[0].num_sequences, 7);
  EXPECT_EQ(minis[1].num_sequences, 4);
  EXPECT_EQ(minis[2].num_sequences, 1);
  EXPECT_TRUE(minis[0].has_guided);
  EXPECT_FALSE(minis[1].has_guided);
  EXPECT_EQ(minis[2].micro_batches[0].groups[0].prompt_ids, groups[4].prompt.ids);
  EXPECT_EQ(minis[2].micro_batches[0].weights_M, (std::vector<float>{0.5F, 0.5F}));
}

TEST(Batch, MasksFollowTheOriginOfTheTokens) {
  const std::vector<rollout::Group> groups = {group_of(4, {{5, 1, 2}, {3, -1}}, 0)};
  TrainOptions o = options_of(1, 1000);
  const auto whole = make_mini_batches(groups, o)[0].micro_batches[0].groups[0].sequences;
  EXPECT_EQ(whole[0].sampled, (std::vector<uint8_t>{1, 1, 1, 0, 0}));
  EXPECT_EQ(whole[0].loss_mask, (std::vector<uint8_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(whole[0].guided_mask, (std::vector<uint8_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(whole[1].loss_mask, (std::vector<uint8_t>{1, 1, 1}));
  EXPECT_EQ(whole[1].guided_mask, (std::vector<uint8_t>{0, 0, 0}));

  o.guidance.loss_on = guidance::LossOn::GuidanceTokens;
  const MicroBatch micro = make_mini_batches(groups, o)[0].micro_batches[0];
  EXPECT_EQ(micro.groups[0].sequences[0].loss_mask, (std::vector<uint8_t>{0, 0, 0, 1, 1}));
  EXPECT_EQ(micro.groups[0].sequences[0].guided_mask, (std::vector<uint8_t>{0, 0, 0, 1, 1}));
  EXPECT_EQ(micro.weights_M, (std::vector<float>{0, 0, 0, 0.2F, 0.2F, 0.2F, 0.2F, 0.2F}));
}

class BatchGradientTest : public testing::Test {
 protected:
  BatchGradientTest() : decoder_(thinktune::test::tiny_config()) {}

  static model::Weights weights(at::ScalarType dtype) {  // the same numbers in every dtype
    const model::Weights f32 = thinktune::test::random_weights(thinktune::test::tiny_config(), 5, at::kFloat);
    return model::map_weights(f32, [&](const at::Tensor& t) { return t.to(dtype); });
  }

  struct Result {
    double loss = 0;
    std::vector<at::Tensor> gradients;
  };

  // What an update does, up to the optimiser.
  Result update(const std::vector<rollout::Group>& groups, const TrainOptions& o, float old_shift = NAN) const {
    Policy policy(decoder_, weights(at::kFloat), at::kFloat);
    Result result;
    for (MiniBatch& mini : make_mini_batches(groups, o))
      for (MicroBatch& micro : mini.micro_batches) {
        const ops::TokenLogprobs logprobs = policy.logprobs(micro.groups, logprob_options(o));
        if (!std::isnan(old_shift)) shift_old(micro, logprobs.logprob_T.detach(), old_shift);
        const algo::LossParts parts = algo::policy_loss(loss_inputs(micro, logprobs, o), mini.has_guided, o.loss);
        parts.loss.backward();
        result.loss += parts.loss.item<double>();
      }
    result.gradients = policy.gradients();
    return result;
  }

  // Old log-probabilities that lie `shift` above today's at even tokens of a sequence and below at odd ones.
  static void shift_old(MicroBatch& micro, const at::Tensor& logprobs_M, float shift) {
    const float* now = logprobs_M.const_data_ptr<float>();
    for (rollout::TrainGroup& group : micro.groups)
      for (rollout::TrainSequence& s : group.sequences)
        for (size_t i = 0; i < s.ids.size(); ++i) s.old_logprobs.push_back(*now++ + (i % 2 == 0 ? shift : -shift));
  }

  // The same in f64 from logits, one sequence at a time: Σ tokens −clip(A·ρ) / tokens, as a statement of its own.
  Result statement(const std::vector<rollout::Group>& groups, double shift) const {
    const model::Weights f64 = weights(at::kDouble);
    std::vector<at::Tensor> parameters = model::tensor_list(f64);
    for (at::Tensor& p : parameters) p.requires_grad_(true);
    int64_t tokens = 0;
    for (const rollout::Group& group : groups)
      for (const rollout::Rollout& r : group.rollouts) tokens += std::ssize(r.ids);
    Result result;
    for (const rollout::Group& group : groups)
      for (const rollout::Rollout& r : group.rollouts) {
        std::vector<int64_t> ids(group.prompt.ids.begin(), group.prompt.ids.end());
        ids.insert(ids.end(), r.ids.begin(), r.ids.end());
        model::PackedAttention attention(decoder_.config(), {{std::ssize(ids), {}}});
        const at::Tensor ids_T = at::tensor(ids, at::TensorOptions().dtype(at::kLong));
        const at::Tensor logits_TV =
            decoder_.logits(f64, decoder_.forward(f64, ids_T, at::arange(ids_T.size(0)), attention));
        const at::Tensor logprobs_TV = at::log_softmax(logits_TV, 1);
        const int64_t prompt = std::ssize(group.prompt.ids);
        for (int64_t i = 0; i < std::ssize(r.ids); ++i) {
          const at::Tensor logprob = logprobs_TV[prompt + i - 1][r.ids[static_cast<size_t>(i)]];
          const double old = logprob.item<double>() + (i % 2 == 0 ? shift : -shift);
          const double ratio = std::exp(logprob.item<double>() - old), A = r.advantage;
          const bool clipped = A > 0 ? ratio > 1.2 : ratio < 0.8;  // then the bound is the loss, and it is a constant
          const bool dual = A < 0 && ratio > 3;
          const double bound = dual ? 3 : A > 0 ? 1.2 : 0.8;
          const at::Tensor loss = clipped || dual ? at::full({}, -A * bound, at::kDouble) : -A * (logprob - old).exp();
          result.loss += loss.item<double>() / static_cast<double>(tokens);
          if (!clipped && !dual) (loss / static_cast<double>(tokens)).backward({}, /*retain_graph=*/true);
        }
      }
    for (const at::Tensor& p : parameters) result.gradients.push_back(p.grad());
    return result;
  }

  // Relative to the largest entry of the expected tensor.
  static void expect_close(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected,
                           double tolerance) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const at::Tensor e = expected[i].to(at::kDouble);
      const double scale = e.abs().max().item<double>();
      EXPECT_GT(scale, 0) << "tensor " << i;
      EXPECT_LT((found[i].to(at::kDouble) - e).abs().max().item<double>(), tolerance * scale) << "tensor " << i;
    }
  }

  model::Decoder decoder_;
};

TEST_F(BatchGradientTest, DoesNotDependOnTheMicroBatches) {
  const auto groups = some_groups();
  const Result whole = update(groups, options_of(4, 100000));
  for (const int64_t limit : {1, 19, 60}) {
    const Result parts = update(groups, options_of(4, limit));
    EXPECT_NEAR(parts.loss, whole.loss, 1e-6);
    expect_close(parts.gradients, whole.gradients, 1e-4);
  }
}

TEST_F(BatchGradientTest, EqualsAStatementInDoubles) {
  const std::vector<rollout::Group> groups = {group_of(9, {{6, 1.2}, {11, -0.8}, {1, 0.4}}, 0),
                                              group_of(4, {{5, -1}, {8, 1}, {7, 0}}, 1)};
  for (const double shift : {0.0, 0.1, 0.3, 1.5}) {  // inside the clip; beyond it; beyond the dual clip
    const Result found = update(groups, options_of(2, 40), static_cast<float>(shift)),
                 expected = statement(groups, shift);
    EXPECT_NEAR(found.loss, expected.loss, 1e-5) << "shift " << shift;
    expect_close(found.gradients, expected.gradients, 2e-4);
  }
}

TEST_F(BatchGradientTest, OldLogprobsLeftOutAreThoseOfThePassItself) {
  const std::vector<rollout::Group> groups = {group_of(9, {{6, 1.2}, {11, -0.8}}, 0)};
  const Result own = update(groups, options_of(1, 1000)), given = update(groups, options_of(1, 1000), 0.0F);
  EXPECT_EQ(own.loss, given.loss);
  expect_close(own.gradients, given.gradients, 1e-6);
}

TEST_F(BatchGradientTest, TheEntropyTermChangesTheGradient) {
  const auto groups = some_groups();
  TrainOptions with = options_of(4, 1000);
  with.loss.entropy_coefficient = 0.1;
  const Result plain = update(groups, options_of(4, 1000)), entropy = update(groups, with);
  EXPECT_LT(entropy.loss, plain.loss) << "entropy is positive and is subtracted";
  for (size_t i = 0; i < plain.gradients.size(); ++i)
    EXPECT_GT((plain.gradients[i] - entropy.gradients[i]).abs().max().item<double>(), 0) << i;
}

}  // namespace
}  // namespace thinktune::train
