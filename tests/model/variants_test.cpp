// Forms of the families that the goldens' models do not have, against transformers (tests/model/data/make_variants.py):
// soft caps, longrope on both sides of its original length, partial and linear rope, windows in some layers.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/paths.h"
#include "thinktune/core/error.h"
#include "thinktune/model/decoder.h"
#include "thinktune/model/family.h"
#include "thinktune/model/packed_attention.h"

namespace thinktune::model {
namespace {

using nlohmann::json;

uint32_t crc32(std::string_view text) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

// `fill` of make_variants.py.
void fill(const TensorName& name, bool plus_one) {
  const at::Tensor values = at::empty({name.view.numel()}, at::kFloat);
  float* out = values.data_ptr<float>();
  const uint32_t start = crc32(name.hf);
  for (int64_t i = 0; i < values.numel(); ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9E3779B1u + start;
    h = (h ^ (h >> 15)) * 0x85EBCA77u;
    h = (h ^ (h >> 13)) * 0xC2B2AE3Du;
    const double unit = static_cast<double>(h >> 8) / (1 << 23) - 1;
    out[i] = static_cast<float>(name.part == Part::Norm ? unit * 0.5 + (plus_one ? 0 : 1) : unit * 0.25);
  }
  name.view.copy_(values.view(name.view.sizes()));
}

json variants() { return test::read_json(test::source_folder() / "tests/model/data/variants.json"); }

TEST(Variants, EqualTransformers) {
  c10::NoGradGuard no_grad;
  const json file = variants();
  ASSERT_EQ(file["cases"].size(), 6u);
  for (const json& c : file["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>() + " " + std::to_string(c["ids"].size()));
    const json& fields = c["config"];
    ModelConfig config = find_family(fields["model_type"].get<std::string>(), "test").config_from_hf(fields, "test");
    const auto ids = c["ids"].get<std::vector<int64_t>>();
    config.long_context = std::ssize(ids) > max_tokens(config);
    EXPECT_EQ(config.long_context, c["name"] == "phi3_longrope" && ids.size() == 24);
    const Weights weights = empty_weights(config, at::kFloat);
    for (const TensorName& name : tensor_names(config, weights)) fill(name, config.norm_weight_plus_one);
    const Decoder decoder(config);
    const std::vector<PackedGroup> groups = {{std::ssize(ids), {}}};
    PackedAttention attention(config, groups);
    const at::Tensor logits = decoder.logits(
        weights, decoder.forward(weights, at::tensor(ids, at::kLong), packed_positions(groups), attention));
    const at::Tensor expected = at::empty(logits.sizes(), at::kDouble);
    for (size_t t = 0; t < ids.size(); ++t)
      for (size_t v = 0; v < c["logits"][t].size(); ++v)
        expected[static_cast<int64_t>(t)][static_cast<int64_t>(v)] = c["logits"][t][v].get<double>();
    const double error = (logits.to(at::kDouble) - expected).norm().item<double>();
    EXPECT_LE(error, 1e-5 * expected.norm().item<double>());
  }
}

// Whatever a config says is what is written, in a form that reads back the same.
TEST(Variants, ConfigsComeBackAsTheyWere) {
  std::vector<json> configs;
  const json file = variants();
  for (const json& c : file["cases"]) configs.push_back(c["config"]);
  const auto goldens = test::golden_folder() / "tiny_models";
  if (std::filesystem::exists(goldens))
    for (const auto& entry : std::filesystem::directory_iterator(goldens))
      if (entry.is_directory()) configs.push_back(test::read_json(entry.path() / "config.json"));
  for (const json& fields : configs) {
    SCOPED_TRACE(fields.dump());
    const Family& family = find_family(fields["model_type"].get<std::string>(), "test");
    const ModelConfig config = family.config_from_hf(fields, "test");
    const json written = family.config_to_hf(config);
    EXPECT_EQ(family.config_from_hf(written, "written"), config) << written.dump();
    EXPECT_EQ(written["architectures"][0], std::string(family.hf_architecture));
  }
}

TEST(Families, WhatIsNotKnownIsRefusedWithTheList) {
  try {
    find_family("mamba", "config.json");
    FAIL();
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::Data);
    EXPECT_NE(std::string(error.what()).find("config.json: the architecture 'mamba' is not known"), std::string::npos);
    EXPECT_NE(error.hint().find("llama, mistral, qwen2, qwen3, gemma2, gemma3_text, phi3, olmo2"), std::string::npos)
        << error.hint();
  }
}

}  // namespace
}  // namespace thinktune::model
