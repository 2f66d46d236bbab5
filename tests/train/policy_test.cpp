// Letters: M response tokens of the sequences given, flat.
#include "thinktune/train/policy.h"

#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>

#include "train/small_run.h"

namespace thinktune::train {
namespace {

using core::TokenId;

rollout::TrainGroup group_of(int64_t prompt_tokens, const std::vector<int64_t>& lengths, uint64_t number) {
  const core::RandomKey key = {.seed = 8, .stream = core::Stream::Init, .prompt = number};
  uint32_t draw = 0;
  const auto token = [&] { return static_cast<TokenId>(3 + core::random_below(key, draw++, 250)); };
  rollout::TrainGroup group;
  for (int64_t i = 0; i < prompt_tokens; ++i) group.prompt_ids.push_back(token());
  for (const int64_t length : lengths)
    for (group.sequences.emplace_back(); std::ssize(group.sequences.back().ids) < length;)
      group.sequences.back().ids.push_back(token());
  return group;
}

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() : decoder_(thinktune::test::tiny_config()) {}

  Policy make(at::ScalarType compute) const {
    return {decoder_, thinktune::test::random_weights(decoder_.config(), 5, at::kFloat), compute};
  }

  // Gradient of the sum of all log-probabilities.
  static std::vector<at::Tensor> gradients_of(Policy& policy, const std::vector<rollout::TrainGroup>& groups) {
    policy.zero_gradients();
    policy.logprobs(groups, {}).logprob_T.sum().backward();
    return policy.gradients();
  }

  model::Decoder decoder_;
  const std::vector<rollout::TrainGroup> groups_ = {group_of(6, {4, 1, 9, 2}, 0), group_of(1, {1, 3}, 1),
                                                    group_of(17, {5}, 2)};
};

TEST_F(PolicyTest, PackedEqualsOneSequenceAtATime) {
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 2e-5}, std::pair{at::kBFloat16, 0.1}}) {
    const Policy policy = make(dtype);
    const at::Tensor packed_M =
        response_logprobs(decoder_, policy.compute_weights(), groups_, {}, Gradient::None).logprob_T;
    EXPECT_FALSE(packed_M.requires_grad());
    int64_t row = 0;
    for (const rollout::TrainGroup& group : groups_)
      for (const rollout::TrainSequence& sequence : group.sequences) {
        const at::Tensor alone_M =
            response_logprobs(decoder_, policy.compute_weights(), {{group.prompt_ids, {sequence}}}, {}, Gradient::None)
                .logprob_T;
        ASSERT_EQ(alone_M.size(0), std::ssize(sequence.ids));
        for (int64_t i = 0; i < alone_M.size(0); ++i, ++row)
          EXPECT_NEAR(packed_M[row].item<double>(), alone_M[i].item<double>(), tolerance);
      }
    EXPECT_EQ(row, packed_M.size(0));
  }
}

TEST_F(PolicyTest, WithAndWithoutGradientTheNumbersAreTheSame) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Policy policy = make(dtype);
    const at::Tensor with_M = policy.logprobs(groups_, {}).logprob_T;
    EXPECT_TRUE(with_M.requires_grad());
    const at::Tensor without_M =
        response_logprobs(decoder_, policy.compute_weights(), groups_, {}, Gradient::None).logprob_T;
    EXPECT_LT((with_M.detach() - without_M).abs().max().item<double>(), dtype == at::kFloat ? 1e-5 : 0.1);
  }
}

TEST_F(PolicyTest, InBf16TheGradientArrivesInTheF32MasterWeights) {
  Policy bf16 = make(at::kBFloat16), f32 = make(at::kFloat);
  const auto rounded = gradients_of(bf16, groups_), exact = gradients_of(f32, groups_);
  ASSERT_EQ(rounded.size(), bf16.parameters().size());
  for (size_t i = 0; i < rounded.size(); ++i) {
    EXPECT_EQ(bf16.parameters()[i].scalar_type(), at::kFloat);
    EXPECT_EQ(rounded[i].scalar_type(), at::kFloat);
    EXPECT_EQ(rounded[i].sizes(), bf16.parameters()[i].sizes());
    const at::Tensor a = rounded[i].flatten(), b = exact[i].flatten();
    const double cosine = (a.dot(b) / (a.norm() * b.norm())).item<double>();
    EXPECT_GT(cosine, 0.99) << "tensor " << i;
  }
}

TEST_F(PolicyTest, CheckpointingChangesNoBit) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Policy keeps = make(dtype), checkpoints = make(dtype);
    const at::Tensor kept_M = keeps.logprobs(groups_, {}).logprob_T;
    const at::Tensor checkpointed_M = checkpoints.logprobs(groups_, {}, /*checkpointing=*/true).logprob_T;
    EXPECT_TRUE(at::equal(kept_M, checkpointed_M));
    kept_M.sum().backward();
    checkpointed_M.sum().backward();
    const auto expected = keeps.gradients(), gradients = checkpoints.gradients();
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_GT(expected[i].abs().max().item<double>(), 0);
      EXPECT_TRUE(at::equal(gradients[i], expected[i])) << "tensor " << i;
    }
  }
}

TEST_F(PolicyTest, GradientsAddUpUntilTheyAreCleared) {
  Policy policy = make(at::kFloat);
  const auto once = test::copies(gradients_of(policy, groups_));
  policy.logprobs(groups_, {}).logprob_T.sum().backward();
  const auto twice = policy.gradients();
  for (size_t i = 0; i < once.size(); ++i) EXPECT_TRUE(at::allclose(twice[i], 2 * once[i], 1e-4, 1e-5)) << i;
  policy.zero_gradients();
  for (const at::Tensor& gradient : policy.gradients()) EXPECT_EQ(gradient.abs().max().item<double>(), 0);
}

TEST_F(PolicyTest, RefreshWritesTheMasterWeightsIntoTheCopyThatComputes) {
  c10::NoGradGuard no_grad;
  Policy policy = make(at::kBFloat16);
  const auto compute = model::tensor_list(policy.compute_weights());
  std::vector<void*> storage;
  for (const at::Tensor& t : compute) storage.push_back(t.data_ptr());
  for (const at::Tensor& master : policy.parameters()) at::Tensor(master).mul_(1.5);
  for (size_t i = 0; i < compute.size(); ++i)
    EXPECT_FALSE(at::equal(compute[i], policy.parameters()[i].to(at::kBFloat16)));
  policy.refresh_compute_weights();
  const auto after = model::tensor_list(policy.compute_weights());
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_TRUE(at::equal(after[i], policy.parameters()[i].to(at::kBFloat16)));
    EXPECT_EQ(after[i].data_ptr(), storage[i]) << "the sampler holds this storage";
  }
}

TEST_F(PolicyTest, InF32TheMasterWeightsThemselvesCompute) {
  const Policy policy = make(at::kFloat);
  const auto compute = model::tensor_list(policy.compute_weights());
  for (size_t i = 0; i < compute.size(); ++i) {
    EXPECT_EQ(compute[i].data_ptr(), policy.parameters()[i].data_ptr());
    EXPECT_FALSE(compute[i].requires_grad());
  }
}

TEST_F(PolicyTest, WhatIsNotFiniteIsNamedAsInTheModelsFiles) {
  Policy policy = make(at::kFloat);
  gradients_of(policy, groups_);
  EXPECT_EQ(policy.first_not_finite_gradient(), "");
  EXPECT_EQ(policy.first_not_finite_weight(), "");
  // Rows of the fused query, key and value projection of layer 1: 32 of queries, 16 of keys, 16 of values.
  const auto gradients = policy.gradients();
  gradients[1 + 6 + 1][40][3].fill_(std::numeric_limits<float>::infinity());
  EXPECT_EQ(policy.first_not_finite_gradient(), "model.layers.1.self_attn.k_proj.weight");
  gradients[0][299][31].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(policy.first_not_finite_gradient(), "model.embed_tokens.weight");
  policy.parameters().back().detach()[5].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(policy.first_not_finite_weight(), "model.norm.weight");
}

}  // namespace
}  // namespace thinktune::train
