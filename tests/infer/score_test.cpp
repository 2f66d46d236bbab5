// The log-probabilities that an engine gives to texts.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/tiny_model.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/engine.h"

namespace thinktune::infer {
namespace {

class ScoreTest : public testing::Test {
 protected:
  // A model in bf16 of which samples read a copy of their prompt, laid out for products.
  void use_tiles() {
    model::ModelConfig config = test::tiny_config();
    config.head_dim = config.rotary_dim = 32;
    decoder_ = model::Decoder(config);
    weights_ = test::random_weights(config, 7, at::kBFloat16);
  }

  Engine make(EngineOptions options = {}) const { return Engine(decoder_, weights_, *vocabulary_.tokenizer, options); }

  model::Decoder decoder_{test::tiny_config()};
  model::Weights weights_ = test::random_weights(test::tiny_config(), 7, at::kFloat);
  model::Vocabulary vocabulary_ = test::byte_vocabulary(test::tiny_config());
};

TEST_F(ScoreTest, EqualsGenerationLogprobs) {
  std::vector<Request> all;
  for (TokenId p = 0; p < 5; ++p) {
    std::vector<TokenId> prompt(20);  // they begin alike
    std::iota(prompt.begin(), prompt.end(), 10);
    prompt.insert(prompt.end(), static_cast<size_t>(1 + p), 40 + 3 * p);
    all.push_back({.prompt_ids = prompt, .max_new_tokens = 12 + p, .prompt_number = static_cast<uint64_t>(100 + p)});
  }
  Engine engine = make();
  const auto results = engine.generate(all, {.temperature = 1}, {.seed = 8});
  std::vector<ScoreRequest> requests;
  for (size_t r = 0; r < all.size(); ++r) requests.push_back({all[r].prompt_ids, {results[r][0].ids}});
  requests.back().continuations[0].clear();
  const auto scores = engine.score(requests);
  for (size_t r = 0; r + 1 < all.size(); ++r) {
    ASSERT_EQ(scores[r][0].size(), results[r][0].logprobs.size());
    for (size_t i = 0; i < scores[r][0].size(); ++i) EXPECT_NEAR(scores[r][0][i], results[r][0].logprobs[i], 1e-4);
  }
  EXPECT_TRUE(scores.back()[0].empty());
}

TEST_F(ScoreTest, TheSameTogetherAsAlone) {
  for (const bool in_bf16 : {false, true}) {
    SCOPED_TRACE(in_bf16 ? "bf16" : "f32");
    if (in_bf16) use_tiles();
    std::vector<ScoreRequest> requests;
    int64_t rows = 0;
    for (int i = 0; i < 9; ++i) {
      ScoreRequest& request = requests.emplace_back();
      request.prompt_ids.assign(static_cast<size_t>(20 + 7 * i), static_cast<TokenId>(60 + i));
      rows += std::ssize(request.prompt_ids);
      for (int c = 0; c < i % 4; ++c) {
        request.continuations.emplace_back(static_cast<size_t>((i + c) % 5), static_cast<TokenId>(100 + i + c));
        rows += std::max<int64_t>(0, std::ssize(request.continuations.back()) - 1);
      }
    }
    Engine alone = make(), together = make(), few_at_a_time = make({.prefill_tokens = 100});
    std::vector<std::vector<std::vector<float>>> expected;
    for (const ScoreRequest& request : requests) {
      auto& of_a_prompt = expected.emplace_back();
      for (const auto& continuation : request.continuations)
        of_a_prompt.push_back(alone.score({{request.prompt_ids, {continuation}}})[0][0]);
    }
    for (Engine* engine : {&together, &few_at_a_time}) {
      const auto scores = engine->score(requests);
      ASSERT_EQ(scores.size(), expected.size());
      for (size_t r = 0; r < expected.size(); ++r) {
        ASSERT_EQ(scores[r].size(), expected[r].size());
        for (size_t c = 0; c < expected[r].size(); ++c) {
          ASSERT_EQ(scores[r][c].size(), expected[r][c].size());
          for (size_t t = 0; t < expected[r][c].size(); ++t) EXPECT_NEAR(scores[r][c][t], expected[r][c][t], 1e-5);
        }
      }
      EXPECT_EQ(engine->stats().prompt_tokens, rows) << "a prompt is computed once for its continuations";
    }
    EXPECT_EQ(together.stats().prefill_passes.size(), 2U) << "one of prompts, one of what stands behind them";
    EXPECT_GT(few_at_a_time.stats().prefill_passes.size(), 2U);
  }
}

TEST_F(ScoreTest, WhatPromptsBeginWithIsComputedOnce) {
  std::vector<ScoreRequest> requests;
  for (TokenId i = 0; i < 5; ++i) {
    std::vector<TokenId> prompt(300, 17);
    prompt.push_back(40 + i);
    requests.push_back({prompt, {{50, 51}, {static_cast<TokenId>(52 + i)}}});
  }
  Engine together = make(), alone = make();
  const auto scores = together.score(requests);
  EXPECT_EQ(together.stats().prompt_tokens, 300 + 5 + 5);
  for (size_t r = 0; r < requests.size(); ++r) {
    const auto expected = alone.score({requests[r]})[0];
    for (size_t c = 0; c < 2; ++c)
      for (size_t t = 0; t < expected[c].size(); ++t) EXPECT_NEAR(scores[r][c][t], expected[c][t], 1e-5);
  }
}

TEST_F(ScoreTest, PromptsWaitForMemory) {
  std::vector<ScoreRequest> requests;
  for (TokenId i = 0; i < 16; ++i)
    requests.push_back({std::vector<TokenId>(300, 40 + i), {{50, 51, 52}, std::vector<TokenId>(20, 53), {54}}});
  Engine free = make({.prefill_tokens = 1 << 20}), bounded = make({.prefill_tokens = 1 << 20, .kv_cache_mib = 1});
  const auto reference = free.score(requests), scores = bounded.score(requests);
  EXPECT_GT(free.stats().kv_peak_bytes, 1 << 20);
  EXPECT_LE(bounded.stats().kv_peak_bytes, 1 << 20);
  for (size_t r = 0; r < requests.size(); ++r)
    for (size_t c = 0; c < 3; ++c)
      for (size_t t = 0; t < reference[r][c].size(); ++t) EXPECT_NEAR(scores[r][c][t], reference[r][c][t], 1e-5);
  requests = {{std::vector<TokenId>(300, 40), std::vector<std::vector<TokenId>>(10, std::vector<TokenId>(400, 50))}};
  try {
    bounded.score(requests);
    FAIL() << "more than the limit was taken";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::User);
    EXPECT_NE(error.message().find("the limit is 1 MiB"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace thinktune::infer
