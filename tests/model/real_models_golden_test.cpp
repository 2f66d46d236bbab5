// SmolLM2-135M-Instruct and Gemma 3 270M from their GGUFs against transformers: weights, tokens, logits,
// log-probabilities.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/paths.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/family.h"
#include "thinktune/model/packed_attention.h"
#include "thinktune/model/pretrained.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

struct RealModel {
  const char* name;
  std::filesystem::path (*file)();
};

class RealModels : public testing::TestWithParam<RealModel> {};

at::Tensor index_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

at::Tensor logits(const Decoder& decoder, const Weights& weights, const std::vector<int64_t>& ids) {
  const std::vector<PackedGroup> groups = {{std::ssize(ids), {}}};
  PackedAttention attention(decoder.config(), groups);
  return decoder.logits(weights, decoder.forward(weights, index_tensor(ids), packed_positions(groups), attention));
}

TEST_P(RealModels, EqualTransformers) {
  const auto golden_file = test::golden_folder() / "real_models" / fmt::format("{}.json", GetParam().name);
  TT_REQUIRE_FILE(golden_file);
  TT_REQUIRE_FILE(GetParam().file());
  c10::NoGradGuard no_grad;
  const json golden = test::read_json(golden_file);
  const Pretrained pretrained(GetParam().file());
  const Decoder decoder(pretrained.config());
  const Weights weights = pretrained.load_weights(at::kFloat);

  const auto names = tensor_names(decoder.config(), weights);
  size_t tensors_compared = 0;
  for (const json& expected : golden["meta"]["weights"]) {
    for (const TensorName& name : names) {
      if (name.hf != expected["name"].get<std::string>()) continue;
      const at::Tensor flat = name.view.reshape({-1});
      for (size_t i = 0; i < expected["sample"].size(); ++i)
        EXPECT_FLOAT_EQ(flat[expected["sample_index"][i].get<int64_t>()].item<float>(),
                        expected["sample"][i].get<float>())
            << name.hf;
      const double squares = flat.to(at::kDouble).pow(2).sum().item<double>();
      EXPECT_NEAR(squares, expected["sum_of_squares"].get<double>(), 1e-6 * squares) << name.hf;
      ++tensors_compared;
    }
  }
  EXPECT_EQ(tensors_compared, golden["meta"]["weights"].size());

  const Vocabulary vocabulary = pretrained.load_vocabulary({.needs_chat = false});
  for (const json& c : golden["cases"]) {
    const json& expected = c["expected"];
    const std::vector<int64_t> prompt = expected["input_ids"];
    const auto encoded = vocabulary.tokenizer->add_special_tokens(
        vocabulary.tokenizer->encode(c["prompt"].get<std::string>(), text::Special::Parse));
    EXPECT_EQ(std::vector<int64_t>(encoded.begin(), encoded.end()), prompt) << c["name"];

    const std::vector<int64_t> continuation = expected["continuation_ids"];
    std::vector<int64_t> joined = prompt;
    joined.insert(joined.end(), continuation.begin(), continuation.end());
    const at::Tensor all = logits(decoder, weights, joined);
    const int64_t last = std::ssize(prompt) - 1;
    const at::Tensor logprobs = at::log_softmax(all, 1);
    for (size_t i = 0; i < expected["top5_ids"].size(); ++i) {
      const int64_t id = expected["top5_ids"][i];
      EXPECT_NEAR(all[last][id].item<double>(), expected["top5_logits"][i].get<double>(), 2e-3) << c["name"];
      EXPECT_NEAR(logprobs[last][id].item<double>(), expected["top5_log_probs"][i].get<double>(), 2e-3) << c["name"];
    }
    double sum = 0;
    for (size_t i = 0; i < continuation.size(); ++i) {
      const double logprob = logprobs[last + static_cast<int64_t>(i)][continuation[i]].item<double>();
      EXPECT_NEAR(logprob, expected["continuation_log_probs"][i].get<double>(), 2e-3) << c["name"] << " token " << i;
      sum += logprob;
    }
    EXPECT_NEAR(sum, expected["continuation_sum_log_prob"].get<double>(), 5e-3) << c["name"];
  }
}

INSTANTIATE_TEST_SUITE_P(Gguf, RealModels,
                         testing::Values(RealModel{"smollm2", test::model_file}, RealModel{"gemma3", test::gemma_file}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace thinktune::model
