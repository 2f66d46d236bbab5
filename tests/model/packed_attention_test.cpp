// A packed group gives exactly what its sequences give one by one: hidden states and gradients.
#include "thinktune/model/packed_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/tiny_model.h"
#include "thinktune/model/decoder.h"

namespace thinktune::model {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

at::Tensor forward(const Decoder& decoder, const Weights& weights, const std::vector<PackedGroup>& groups,
                   const std::vector<int64_t>& ids) {
  PackedAttention attention(decoder.config(), groups);
  return decoder.forward(weights, index_tensor(ids), packed_positions(groups), attention);
}

struct Case {
  std::vector<int64_t> prompt;
  std::vector<std::vector<int64_t>> responses;
};

void compare(const ModelConfig& config, const std::vector<Case>& cases, at::ScalarType dtype, double tolerance) {
  const Decoder decoder(config);
  const Weights weights = test::random_weights(config, 3, dtype);
  for (at::Tensor& tensor : tensor_list(weights)) tensor.requires_grad_(true);

  std::vector<PackedGroup> groups;
  std::vector<int64_t> ids;
  for (const Case& c : cases) {
    PackedGroup& group = groups.emplace_back(PackedGroup{std::ssize(c.prompt), {}});
    ids.insert(ids.end(), c.prompt.begin(), c.prompt.end());
    for (const auto& response : c.responses) {
      group.response_tokens.push_back(std::ssize(response));
      ids.insert(ids.end(), response.begin(), response.end());
    }
  }
  const at::Tensor packed = forward(decoder, weights, groups, ids);

  // The same tokens, each response behind its own copy of the prompt.
  at::Tensor separate_loss = at::zeros({}, dtype), packed_loss = at::zeros({}, dtype);
  int64_t row = 0;
  for (const Case& c : cases) {
    const auto prompt_tokens = std::ssize(c.prompt);
    const at::Tensor alone = forward(decoder, weights, {{prompt_tokens, {}}}, c.prompt);
    EXPECT_LE((packed.narrow(0, row, prompt_tokens) - alone).abs().max().item<double>(), tolerance);
    row += prompt_tokens;
    for (const auto& response : c.responses) {
      if (response.empty()) continue;
      std::vector<int64_t> joined = c.prompt;
      joined.insert(joined.end(), response.begin(), response.end());
      const at::Tensor expected =
          forward(decoder, weights, {{std::ssize(joined), {}}}, joined).narrow(0, prompt_tokens, std::ssize(response));
      const at::Tensor got = packed.narrow(0, row, std::ssize(response));
      EXPECT_LE((got - expected).abs().max().item<double>(), tolerance);
      separate_loss = separate_loss + expected.pow(3).sum();
      packed_loss = packed_loss + got.pow(3).sum();
      row += std::ssize(response);
    }
  }
  packed_loss.backward();
  std::vector<at::Tensor> packed_gradients;
  for (const at::Tensor& tensor : tensor_list(weights)) {
    packed_gradients.push_back(tensor.grad().clone());
    tensor.mutable_grad() = at::Tensor();
  }
  separate_loss.backward();
  const std::vector<at::Tensor> tensors = tensor_list(weights);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const double scale = tensors[i].grad().norm().item<double>();
    EXPECT_LE((packed_gradients[i] - tensors[i].grad()).norm().item<double>(), tolerance * (scale + 1))
        << "tensor " << i;
  }
}

const std::vector<Case> kCases = {
    {{5, 6, 7}, {{1, 2, 3, 4, 5, 6, 7}, {9}, {}, {3, 3, 3}}},
    {{1}, {{2}}},
    {{8, 9, 10, 11, 12}, {}},
    {{4, 4}, {{}, {7, 8}}},
};

TEST(PackedAttention, EqualsSeparateSequencesInDouble) { compare(test::tiny_config(), kCases, at::kDouble, 1e-11); }
TEST(PackedAttention, EqualsSeparateSequencesInFloat) { compare(test::tiny_config(), kCases, at::kFloat, 2e-4); }

TEST(PackedAttention, EqualsSeparateSequencesInEveryFamily) {
  for (const ModelConfig& config : test::tiny_configs_of_families()) {
    SCOPED_TRACE(config.family);
    compare(config, kCases, at::kDouble, 1e-10);
  }
}

TEST(PackedAttention, PositionsGoOnFromThePrompt) {
  const at::Tensor positions = packed_positions({{2, {3, 0, 1}}, {1, {1}}});
  EXPECT_TRUE(at::equal(positions, index_tensor({0, 1, 2, 3, 4, 2, 0, 1})));
}

}  // namespace
}  // namespace thinktune::model
