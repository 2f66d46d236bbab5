// Greedy continuations against transformers: the tiny models with and without a stop token, SmolLM2 and
// Gemma 3.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/gpu.h"
#include "support/paths.h"
#include "support/tiny_model.h"
#include "thinktune/infer/engine.h"

namespace thinktune::infer {
namespace {

using nlohmann::json;

// The tiny models have no tokenizer of their own, and greedy generation by ids needs none.
const text::Tokenizer& any_tokenizer() {
  static const model::Vocabulary vocabulary = test::byte_vocabulary(test::tiny_config());
  return *vocabulary.tokenizer;
}

std::vector<TokenId> real_tokens(const json& ids, const json& mask) {
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < ids.size(); ++i)
    if (mask[i] == 1) tokens.push_back(ids[i]);
  return tokens;
}

std::vector<std::vector<Generation>> continue_greedily(const model::Decoder& decoder, const model::Weights& weights,
                                                       const json& greedy) {
  Engine engine(decoder, weights, any_tokenizer(), {.max_sequences = 2});
  std::vector<Request> requests;
  for (size_t r = 0; r < greedy["input_ids"].size(); ++r)
    requests.push_back({.prompt_ids = real_tokens(greedy["input_ids"][r], greedy["attention_mask"][r]),
                        .max_new_tokens = std::ssize(greedy["new_tokens"][r])});
  return engine.generate(requests, {.temperature = 0}, {});
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

TEST_P(TinyModels, GreedyIdsAndLogprobs) {
  const model::Pretrained pretrained(folder());
  const json greedy = test::read_json(folder() / "golden.json")["greedy"];
  const model::Weights weights = pretrained.load_weights(at::kFloat, device_);

  model::ModelConfig config = pretrained.config();
  config.end_of_turn_ids.clear();
  const model::Decoder endless(config, device_);
  const auto all = continue_greedily(endless, weights, greedy);
  for (size_t r = 0; r < all.size(); ++r) {
    EXPECT_EQ(all[r][0].ids, greedy["new_tokens"][r].get<std::vector<TokenId>>());
    EXPECT_EQ(all[r][0].stop, Stop::Length);
    double sum = 0;
    for (const float logprob : all[r][0].logprobs) sum += static_cast<double>(logprob);
    EXPECT_NEAR(sum, greedy["sum_log_prob"][r].get<double>(), 2e-3);
  }

  const TokenId stop = greedy["stop_token"];
  config.end_of_turn_ids = {stop};
  const model::Decoder stopping(config, device_);
  const auto stopped = continue_greedily(stopping, weights, greedy);
  for (size_t r = 0; r < stopped.size(); ++r) {
    std::vector<TokenId> expected = greedy["new_tokens_with_stop"][r];
    const auto end = std::find(expected.begin(), expected.end(), stop);
    if (end != expected.end()) expected.erase(end + 1, expected.end());
    EXPECT_EQ(stopped[r][0].ids, expected);
    EXPECT_EQ(stopped[r][0].stop, expected.back() == stop ? Stop::EndOfTurn : Stop::Length);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, TinyModels,
    testing::Combine(testing::Values("llama_tied", "llama_untied_rope3", "llama_sharded", "mistral_sliding", "qwen2",
                                     "qwen3", "gemma3", "gemma3_bf16", "phi3", "olmo2"),
                     testing::Values("cpu", "cuda")),
    [](const auto& info) { return fmt::format("{}_{}", std::get<0>(info.param), std::get<1>(info.param)); });

struct RealModel {
  const char* name;
  std::filesystem::path (*file)();
};

class RealModels : public testing::TestWithParam<RealModel> {};

TEST_P(RealModels, GreedyIds) {
  const auto file = test::golden_folder() / "real_models" / fmt::format("{}.json", GetParam().name);
  TT_REQUIRE_FILE(file);
  TT_REQUIRE_FILE(GetParam().file());
  const json golden = test::read_json(file);
  const model::Pretrained pretrained(GetParam().file());
  const model::Weights weights = pretrained.load_weights(at::kFloat);
  const model::Vocabulary vocabulary = pretrained.load_vocabulary({.needs_chat = false});
  model::ModelConfig config = pretrained.config();
  config.end_of_turn_ids.clear();  // the golden goes on behind the end of turn
  const model::Decoder decoder(config);
  Engine engine(decoder, weights, *vocabulary.tokenizer, {});
  std::vector<Request> requests;
  for (const json& c : golden["cases"])
    requests.push_back(
        {.prompt_ids = c["expected"]["input_ids"], .max_new_tokens = std::ssize(c["expected"]["greedy_ids"])});
  const auto results = engine.generate(requests, {.temperature = 0}, {});
  constexpr double kNoise = 2e-3;  // of a logit, the golden's own tolerance: a smaller margin may fall either way
  for (size_t r = 0; r < results.size(); ++r) {
    const json& expected = golden["cases"][r]["expected"];
    for (size_t i = 0; i < expected["greedy_ids"].size() && expected["greedy_margins"][i].get<double>() >= kNoise; ++i)
      ASSERT_EQ(results[r][0].ids[i], expected["greedy_ids"][i].get<TokenId>())
          << golden["cases"][r]["name"] << " token " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Gguf, RealModels,
                         testing::Values(RealModel{"smollm2", test::model_file}, RealModel{"gemma3", test::gemma_file}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace thinktune::infer
