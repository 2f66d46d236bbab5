// Small random models of every family against transformers: logits, log-probabilities, entropies, losses and gradients.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/gpu.h"
#include "support/paths.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/family.h"
#include "thinktune/model/packed_attention.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/ops/token_logprob.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

at::Tensor index_tensor(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(device);
}

using ModelOnDevice = std::tuple<const char*, const char*>;

class TinyModels : public testing::TestWithParam<ModelOnDevice> {
 protected:
  void SetUp() override {
    TT_REQUIRE_FILE(folder());
    if (std::get<1>(GetParam()) == std::string("cpu")) return;
    TT_REQUIRE_GPU(gpu);
    device_ = gpu;
  }
  std::filesystem::path folder() const { return test::golden_folder() / "tiny_models" / std::get<0>(GetParam()); }

  at::Device device_ = at::kCPU;
};

// The real tokens of a padded row, as one sequence.
struct Row {
  std::vector<int64_t> ids;
  std::vector<size_t> places;  // in the padded row
};

Row real_tokens(const json& batch, size_t row) {
  Row result;
  for (size_t t = 0; t < batch["input_ids"][row].size(); ++t) {
    if (batch["attention_mask"][row][t] == 0) continue;
    result.ids.push_back(batch["input_ids"][row][t]);
    result.places.push_back(t);
  }
  return result;
}

at::Tensor hidden_states(const Decoder& decoder, const Weights& weights, const std::vector<Row>& rows) {
  std::vector<PackedGroup> groups;
  std::vector<int64_t> ids;
  for (const Row& row : rows) {
    groups.push_back({.prompt_tokens = std::ssize(row.ids)});
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
  }
  PackedAttention attention(decoder.config(), groups);
  const at::Device device = weights.embedding.device();
  return decoder.forward(weights, index_tensor(ids, device), packed_positions(groups).to(device), attention);
}

TEST_P(TinyModels, LogitsAndLogprobs) {
  c10::NoGradGuard no_grad;
  const Pretrained pretrained(folder());
  const Decoder decoder(pretrained.config(), device_);
  const Weights weights = pretrained.load_weights(at::kFloat, device_);
  const json golden = test::read_json(folder() / "golden.json");
  for (const json& batch : golden["batches"]) {
    for (size_t r = 0; r < batch["input_ids"].size(); ++r) {
      const Row row = real_tokens(batch, r);
      const at::Tensor hidden = hidden_states(decoder, weights, {row});
      const at::Tensor logits = decoder.logits(weights, hidden).cpu();
      double error_squares = 0, squares = 0;
      for (size_t i = 0; i < row.ids.size(); ++i) {
        const json& expected = batch["logits"][r][row.places[i]];
        for (size_t v = 0; v < expected.size(); ++v) {
          const double logit = logits[static_cast<int64_t>(i)][static_cast<int64_t>(v)].item<double>();
          ASSERT_NEAR(logit, expected[v].get<double>(), 1e-4)
              << batch["padding"] << " row " << r << " token " << i << " logit " << v;
          error_squares += std::pow(logit - expected[v].get<double>(), 2);
          squares += std::pow(expected[v].get<double>(), 2);
        }
      }
      EXPECT_LE(std::sqrt(error_squares), 1e-5 * std::sqrt(squares)) << batch["padding"] << " row " << r;
      const int64_t predicted = std::ssize(row.ids) - 1;
      const at::Tensor targets = index_tensor({row.ids.begin() + 1, row.ids.end()}, device_);
      for (const double temperature : {1.0, 0.7}) {
        const auto result = ops::token_logprob(hidden.narrow(0, 0, predicted), weights.head, targets,
                                               {.transform = {.temperature = temperature}, .chunk_tokens = 3});
        const json& expected = batch[temperature == 1.0 ? "token_log_probs" : "token_log_probs_temperature_0_7"][r];
        for (int64_t i = 0; i < predicted; ++i) {
          const size_t place = row.places[static_cast<size_t>(i)];
          EXPECT_NEAR(result.logprob_T[i].item<double>(), expected[place].get<double>(), 1e-4);
          if (temperature == 1.0) {
            EXPECT_NEAR(result.entropy_T[i].item<double>(), batch["token_entropy"][r][place].get<double>(), 1e-4);
          }
        }
      }
    }
  }
}

TEST_P(TinyModels, LossAndGradients) {
  const Pretrained pretrained(folder());
  const Decoder decoder(pretrained.config(), device_);
  const Weights weights = pretrained.load_weights(at::kFloat, device_);
  for (at::Tensor& tensor : tensor_list(weights)) tensor.requires_grad_(true);
  const json golden = test::read_json(folder() / "golden.json");
  for (const json& batch : golden["batches"]) {
    std::vector<Row> rows;
    for (size_t r = 0; r < batch["input_ids"].size(); ++r) rows.push_back(real_tokens(batch, r));
    std::vector<int64_t> predicting, targets;
    int64_t first = 0;
    for (const Row& row : rows) {
      for (size_t i = 0; i + 1 < row.ids.size(); ++i) {
        predicting.push_back(first + static_cast<int64_t>(i));
        targets.push_back(row.ids[i + 1]);
      }
      first += std::ssize(row.ids);
    }
    for (const at::Tensor& tensor : tensor_list(weights)) tensor.mutable_grad() = at::Tensor();
    const at::Tensor hidden = hidden_states(decoder, weights, rows);
    const at::Tensor loss = -ops::token_logprob(hidden.index_select(0, index_tensor(predicting, device_)), weights.head,
                                                index_tensor(targets, device_), {})
                                 .logprob_T.mean();
    EXPECT_NEAR(loss.item<double>(), batch["mean_cross_entropy"].get<double>(), 2e-5);
    loss.backward();
    const Weights gradients = map_weights(weights, [](const at::Tensor& t) { return t.grad(); });
    const double total = batch["grad_norm_total"];
    size_t compared = 0;
    for (const TensorName& name : tensor_names(decoder.config(), gradients)) {
      ASSERT_TRUE(batch["grad_norm"].contains(name.hf)) << name.hf;
      const double expected = batch["grad_norm"][name.hf];
      EXPECT_NEAR(name.view.norm().item<double>(), expected, std::max(1e-4 * expected, 1e-6 * total))
          << batch["padding"] << " " << name.hf;
      ++compared;
    }
    EXPECT_EQ(compared, batch["grad_norm"].size());
    const json& expected_norm = batch["grad_final_norm_weight"];
    for (size_t i = 0; i < expected_norm.size(); ++i)
      EXPECT_NEAR(gradients.final_norm[static_cast<int64_t>(i)].item<double>(), expected_norm[i].get<double>(),
                  1e-4 * total);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, TinyModels,
    testing::Combine(testing::Values("llama_tied", "llama_untied_rope3", "llama_sharded", "mistral_sliding", "qwen2",
                                     "qwen3", "gemma3", "gemma3_bf16", "phi3", "olmo2"),
                     testing::Values("cpu", "cuda")),
    [](const auto& info) { return fmt::format("{}_{}", std::get<0>(info.param), std::get<1>(info.param)); });

}  // namespace
}  // namespace thinktune::model
