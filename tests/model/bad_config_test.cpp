// A config.json comes from anywhere: each thing that can be wrong with it has its message, naming the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "src/model/hf_config.h"
#include "thinktune/core/error.h"
#include "thinktune/model/family.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

json good(const std::string& model_type) {
  return {{"model_type", model_type}, {"vocab_size", 40},         {"hidden_size", 32},        {"intermediate_size", 48},
          {"num_hidden_layers", 2},   {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"head_dim", 8}};
}

void expect_refused(const json& config, const std::string& message) {
  SCOPED_TRACE(config.dump());
  try {
    find_family(config["model_type"].get<std::string>(), "x/config.json").config_from_hf(config, "x/config.json");
    ADD_FAILURE() << "accepted";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::Data);
    EXPECT_THAT(error.what(), testing::HasSubstr("x/config.json: "));
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
}

json with(json config, const char* field, const json& value) {
  config[field] = value;
  return config;
}

TEST(BadConfig, TheGoodOneIsGoodInEveryFamily) {
  for (const std::string_view name : family_names()) {
    const ModelConfig config = find_family(name, "test").config_from_hf(good(std::string(name)), "test");
    EXPECT_EQ(config.family, name);
    EXPECT_EQ(config.num_layers, 2);
  }
}

TEST(BadConfig, MissingSizes) {
  for (const char* field :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    json config = good("llama");
    config.erase(field);
    expect_refused(config, fmt::format("{} is missing", field));
    expect_refused(with(good("llama"), field, nullptr), fmt::format("{} is missing", field));
  }
}

TEST(BadConfig, SizesOfAnotherType) {
  expect_refused(with(good("llama"), "hidden_size", "32"), "hidden_size should be an integer");
  expect_refused(with(good("llama"), "hidden_size", 32.5), "hidden_size should be an integer");
  expect_refused(with(good("llama"), "rope_theta", "1e4"), "rope_theta should be a number");
  expect_refused(with(good("llama"), "tie_word_embeddings", 1), "tie_word_embeddings should be true or false");
  expect_refused(with(good("llama"), "eos_token_id", "</s>"), "eos_token_id should be a token id");
  EXPECT_TRUE(find_family("llama", "x").config_from_hf(with(good("llama"), "pad_token_id", -1), "x").pad_id == -1);
  expect_refused(with(good("llama"), "eos_token_id", json::array({1, -2})), "eos_token_id should be a token id");
}

TEST(BadConfig, SizesThatNoModelHas) {
  for (const json& value : {json(0), json(-1), json(int64_t{1} << 60)}) {
    for (const char* field : {"vocab_size", "hidden_size", "intermediate_size", "head_dim"})
      expect_refused(with(good("llama"), field, value), "which no model has");
    expect_refused(with(good("qwen2"), "num_hidden_layers", value), "which no model has");
    expect_refused(with(good("gemma3_text"), "num_attention_heads", value), "which no model has");
    expect_refused(with(good("phi3"), "num_key_value_heads", value), "which no model has");
  }
  expect_refused(with(good("mistral"), "num_hidden_layers", 100000), "100000 layers");
}

TEST(BadConfig, SizesThatDoNotFitTogether) {
  expect_refused(with(good("llama"), "num_key_value_heads", 3), "4 query heads cannot share 3 key/value heads");
  expect_refused(with(good("llama"), "head_dim", 7), "7 of a head's 7 dimensions are to be rotary");
  expect_refused(with(good("phi3"), "partial_rotary_factor", 0.4), "3 of a head's 8 dimensions are to be rotary");
  expect_refused(with(good("phi3"), "partial_rotary_factor", 1.5), "partial_rotary_factor is 1.5");
}

TEST(BadConfig, NumbersThatMustBePositive) {
  expect_refused(with(good("llama"), "rms_norm_eps", 0), "rms_norm_eps is 0");
  expect_refused(with(good("llama"), "rope_theta", -1), "rope_theta is -1");
  expect_refused(with(good("gemma2"), "query_pre_attn_scalar", 0), "scale of attention scores");
  expect_refused(with(good("gemma2"), "attn_logit_softcapping", -3), "a soft cap of -3");
  expect_refused(with(good("mistral"), "sliding_window", -5), "an attention window of -5 tokens");
  expect_refused(with(good("gemma3_text"), "sliding_window_pattern", 0), "sliding_window_pattern is 0");
}

TEST(BadConfig, RopeThatIsNotKnown) {
  const json yarn = {{"rope_type", "yarn"}, {"factor", 4}};
  expect_refused(with(good("qwen2"), "rope_scaling", yarn), "rope scaling 'yarn' is not known");
  expect_refused(with(good("qwen2"), "rope_parameters", yarn), "rope scaling 'yarn' is not known");
  const json by_layer = {{"full_attention", {{"rope_type", "default"}}}};
  expect_refused(with(good("llama"), "rope_parameters", by_layer), "known for Gemma 3 only");
  const json ramp = {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}};
  expect_refused(with(good("llama"), "rope_scaling", ramp), "rope scaling llama3 with factor 8");
  const json linear = {{"type", "linear"}, {"factor", 0}};
  expect_refused(with(good("llama"), "rope_scaling", linear), "factor of the linear rope scaling is 0");
}

TEST(BadConfig, RopeOfAnotherType) {
  expect_refused(with(good("llama"), "rope_scaling", "linear"), "rope_scaling should be an object");
  expect_refused(with(good("qwen2"), "rope_parameters", 7), "rope_parameters should be an object");
  expect_refused(with(good("gemma3_text"), "rope_parameters", {{"rope_theta", 5}}),
                 "rope_parameters has no object full_attention");
  expect_refused(with(good("gemma3_text"), "rope_parameters", {{"full_attention", 5}, {"sliding_attention", 5}}),
                 "rope_parameters has no object full_attention");
}

TEST(BadConfig, ConstantsThatNoModelHas) {
  expect_refused(with(good("llama"), "rms_norm_eps", 1e300), "rms_norm_eps is 1e+300");
  const auto linear = [](double factor) { return json{{"type", "linear"}, {"factor", factor}}; };
  expect_refused(with(good("llama"), "rope_scaling", linear(1e-320)), "must be at least 1");
  expect_refused(with(good("llama"), "rope_scaling", linear(1e300)), "must be at least 1");
  const json far = {{"rope_type", "llama3"}, {"factor", 8}, {"original_max_position_embeddings", int64_t{1} << 62}};
  expect_refused(with(good("llama"), "rope_scaling", far), "rope scaling llama3 with factor 8");
  for (const char* family : {"gemma2", "gemma3_text"})
    expect_refused(with(good(family), "sliding_window", 0), "sliding_window is 0");
}

TEST(BadConfig, LongropeThatDoesNotFit) {
  const auto longrope = [](const json& short_factors, const json& long_factors, int original) {
    json config = with(good("phi3"), "rope_scaling",
                       {{"type", "longrope"}, {"short_factor", short_factors}, {"long_factor", long_factors}});
    if (original > 0) config["original_max_position_embeddings"] = original;
    return config;
  };
  expect_refused(longrope({1, 1, 1}, {1, 1, 1, 1}, 16), "longrope has 3 factors for 4 frequencies");
  expect_refused(longrope({1, 1, 1, 1}, {1, 1, 1, 0}, 16), "a longrope factor is 0");
  expect_refused(longrope({1, 1, 1, 1}, {1, 1, 1, 1}, 0), "longrope needs original_max_position_embeddings");
  expect_refused(longrope("1,1,1,1", {1, 1, 1, 1}, 16), "short_factor should be a list of numbers");
}

TEST(BadConfig, LayerTypes) {
  expect_refused(with(good("gemma3_text"), "layer_types", {"full_attention"}), "not a list for 2 layers");
  expect_refused(with(good("gemma2"), "layer_types", {"full_attention", "chunked_attention"}),
                 "the layer type \"chunked_attention\" is not known");
  expect_refused(with(good("qwen3"), "layer_types", {"full_attention", "sliding_attention"}),
                 "sliding_window is not given");
}

TEST(BadConfig, WhatTheFamilyDoesNotHave) {
  for (const char* family : {"llama", "qwen3", "gemma2", "gemma3_text", "phi3", "olmo2"})
    expect_refused(with(good(family), "attention_bias", true), "attention_bias is true");
  expect_refused(with(good("llama"), "mlp_bias", true), "mlp_bias is true");
  expect_refused(with(good("gemma3_text"), "use_bidirectional_attention", true), "use_bidirectional_attention is true");
  expect_refused(with(good("llama"), "hidden_act", "gelu"), "hidden_act is \"gelu\", known is 'silu'");
  expect_refused(with(good("gemma2"), "hidden_activation", "relu"), "known is 'gelu_pytorch_tanh'");
}

TEST(BadConfig, TextThatIsNotAnObject) {
  const auto refused = [](const std::string& text) -> std::string {
    try {
      parse_config(text, "x/config.json");
    } catch (const core::Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refused("{\"a\": "), testing::HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(refused("[1]"), testing::HasSubstr("a JSON object is expected"));
  EXPECT_THAT(refused("{\"a\": 1e999}"), testing::HasSubstr("a number is too large"));
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100000; ++i) deep += '[';
  EXPECT_THAT(refused(deep), testing::HasSubstr("nested more than 32 deep"));
}

}  // namespace
}  // namespace thinktune::model
