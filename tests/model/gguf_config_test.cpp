// A config from a GGUF's keys: what is read, and what is refused because the numbers would be others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/paths.h"
#include "thinktune/core/error.h"
#include "thinktune/model/family.h"
#include "thinktune/weights/gguf_writer.h"

namespace thinktune::model {
namespace {

using weights::GgufEntry;

class GgufConfig : public testing::Test {
 protected:
  // The keys of a small model, with `more` behind them or in their place, and the tensors `names` of four factors each,
  // or of `num_factors`, at most four.
  ModelConfig read(const std::string& architecture, const std::vector<GgufEntry>& more,
                   const std::vector<std::string>& names = {}, int64_t num_factors = 4) const {
    const std::string prefix = architecture + ".";
    std::vector<GgufEntry> entries = {
        {"general.architecture", architecture},         {prefix + "embedding_length", uint32_t{32}},
        {prefix + "feed_forward_length", uint32_t{48}}, {prefix + "block_count", uint32_t{12}},
        {prefix + "attention.head_count", uint32_t{4}}, {prefix + "attention.head_count_kv", uint32_t{2}},
        {prefix + "context_length", uint32_t{64}},      {prefix + "attention.layer_norm_rms_epsilon", 1e-5f}};
    for (const GgufEntry& entry : more) {
      std::erase_if(entries, [&](const GgufEntry& other) { return other.key == entry.key; });
      entries.push_back(entry);
    }
    const std::vector<float> embedding(40 * 32, 0.0f), factors = {2, 1, 1, 1};
    std::vector<weights::TensorToWrite> tensors = {
        {.name = "token_embd.weight", .shape = {40, 32}, .data = embedding.data()}};
    for (const std::string& name : names)
      tensors.push_back({.name = name, .shape = {num_factors}, .data = factors.data()});
    const auto file = folder_.path() / "x.gguf";
    weights::write_gguf(file, entries, tensors);
    return find_gguf_family(architecture, "test").config_from_gguf(weights::Gguf(file));
  }

  void expect_refused(const std::string& architecture, const std::vector<GgufEntry>& more, const std::string& message,
                      const std::vector<std::string>& names = {}, int64_t num_factors = 4) const {
    try {
      read(architecture, more, names, num_factors);
      ADD_FAILURE() << "accepted: " << message;
    } catch (const core::Error& error) {
      EXPECT_EQ(error.kind(), core::ErrorKind::Data);
      EXPECT_THAT(error.what(), testing::HasSubstr(message));
    }
  }

  test::TempFolder folder_;
};

TEST_F(GgufConfig, Sizes) {
  const ModelConfig config = read("llama", {});
  EXPECT_EQ(config.family, "llama");
  EXPECT_EQ(config.vocab_size, 40);
  EXPECT_EQ(config.num_layers, 12);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.bos_id, -1);
}

TEST_F(GgufConfig, AWindowMakesLlamaMistral) {
  const ModelConfig config = read("llama", {{"llama.attention.sliding_window", uint32_t{7}}});
  EXPECT_EQ(config.family, "mistral");
  EXPECT_EQ(config.windows, std::vector<int64_t>(12, 7));
  expect_refused("qwen2", {{"qwen2.attention.sliding_window", uint32_t{7}}}, "does not say for which layers");
}

TEST_F(GgufConfig, GemmaNeedsItsWindow) {
  const ModelConfig config = read("gemma3", {{"gemma3.attention.sliding_window", uint32_t{7}}});
  EXPECT_EQ(config.windows, (std::vector<int64_t>{7, 7, 7, 7, 7, 0, 7, 7, 7, 7, 7, 0}));
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_EQ(config.local_rope.theta, 1e4);
  expect_refused("gemma3", {}, "gemma3.attention.sliding_window");
  expect_refused("gemma3", {{"gemma3.attention.sliding_window", uint32_t{0}}}, "sliding_window is 0");
}

TEST_F(GgufConfig, NoHeadsWhereTheWidthIsDividedByThem) {
  expect_refused("gemma2",
                 {{"gemma2.block_count", uint32_t{46}},
                  {"gemma2.attention.head_count", uint32_t{0}},
                  {"gemma2.attention.key_length", uint32_t{8}},
                  {"gemma2.attention.value_length", uint32_t{8}},
                  {"gemma2.attention.sliding_window", uint32_t{7}}},
                 "num_attention_heads (attention.head_count) is 0");
}

TEST_F(GgufConfig, RopeFactorsWithoutAFactor) {
  expect_refused("llama", {{"llama.rope.dimension_count", uint32_t{1}}}, "has no factor in it", {"rope_freqs.weight"},
                 0);
}

TEST_F(GgufConfig, BothWaysToSayLinear) {
  for (const std::vector<GgufEntry>& more : {std::vector<GgufEntry>{{"llama.rope.scale_linear", 4.0f}},
                                             std::vector<GgufEntry>{{"llama.rope.scaling.type", std::string("linear")},
                                                                    {"llama.rope.scaling.factor", 4.0f}}}) {
    const ModelConfig config = read("llama", more);
    EXPECT_EQ(config.rope.scaling, RopeScaling::Linear);
    EXPECT_EQ(config.rope.factor, 4.0);
  }
  expect_refused("llama", {{"llama.rope.scaling.type", std::string("yarn")}}, "rope scaling 'yarn' is not known");
}

TEST_F(GgufConfig, HalfOfLongrope) {
  expect_refused("phi3", {}, "only one is there", {"rope_factors_short.weight"});
  expect_refused("phi3", {}, "only one is there", {"rope_factors_long.weight"});
  const ModelConfig config = read("phi3", {{"phi3.rope.scaling.original_context_length", uint32_t{16}}},
                                  {"rope_factors_short.weight", "rope_factors_long.weight"});
  EXPECT_EQ(config.rope.scaling, RopeScaling::LongRope);
  EXPECT_EQ(max_tokens(config), 16);
}

TEST_F(GgufConfig, WhatIsNotComputedIsNotIgnored) {
  expect_refused("llama", {{"llama.expert_count", uint32_t{8}}}, "llama.expert_count is 8");
  expect_refused("llama", {{"llama.attention.scale", 0.5f}}, "llama.attention.scale is 0.5");
  expect_refused("llama", {{"llama.logit_scale", 16.0f}}, "llama.logit_scale is 16");
  EXPECT_EQ(read("llama", {{"llama.expert_count", uint32_t{0}}}).num_layers, 12);
}

TEST_F(GgufConfig, IdsThatMeanNone) {
  const ModelConfig config = read("llama", {{"tokenizer.ggml.padding_token_id", uint32_t{4294967295u}},
                                            {"tokenizer.ggml.bos_token_id", int32_t{-1}},
                                            {"tokenizer.ggml.eos_token_id", uint32_t{3}}});
  EXPECT_EQ(config.pad_id, -1);
  EXPECT_EQ(config.bos_id, -1);
  EXPECT_EQ(config.end_of_turn_ids, (std::vector<core::TokenId>{3}));
}

TEST_F(GgufConfig, FactorsThatAreNotLlama3s) {
  EXPECT_EQ(read("llama", {}, {}).rope.scaling, RopeScaling::None);
  expect_refused("llama", {}, "are not those of Llama 3.1's scaling", {"rope_freqs.weight"});
}

}  // namespace
}  // namespace thinktune::model
