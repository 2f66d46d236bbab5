// Folders written by transformers: the names and shapes that a Llama's configuration implies, and nothing else.
#include <gmock/gmock.h>

#include <cmath>

#include "support/paths.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::weights {
namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes llama_shapes(const nlohmann::json& config) {
  const int64_t width = config["hidden_size"], inner = config["intermediate_size"], vocabulary = config["vocab_size"];
  const int64_t heads = config["num_attention_heads"], kv_heads = config["num_key_value_heads"];
  const int64_t head_size =
      config.contains("head_dim") && config["head_dim"].is_number() ? config["head_dim"].get<int64_t>() : width / heads;
  Shapes shapes = {{"model.embed_tokens.weight", {vocabulary, width}}, {"model.norm.weight", {width}}};
  if (!config.value("tie_word_embeddings", false)) shapes["lm_head.weight"] = {vocabulary, width};
  for (int64_t layer = 0; layer < config["num_hidden_layers"].get<int64_t>(); ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    shapes[prefix + "input_layernorm.weight"] = {width};
    shapes[prefix + "post_attention_layernorm.weight"] = {width};
    shapes[prefix + "self_attn.q_proj.weight"] = {heads * head_size, width};
    shapes[prefix + "self_attn.k_proj.weight"] = {kv_heads * head_size, width};
    shapes[prefix + "self_attn.v_proj.weight"] = {kv_heads * head_size, width};
    shapes[prefix + "self_attn.o_proj.weight"] = {width, heads * head_size};
    shapes[prefix + "mlp.gate_proj.weight"] = {inner, width};
    shapes[prefix + "mlp.up_proj.weight"] = {inner, width};
    shapes[prefix + "mlp.down_proj.weight"] = {width, inner};
  }
  return shapes;
}

struct Folder {
  const char* name;
  DType dtype;
};

class SafetensorsGolden : public testing::TestWithParam<Folder> {};

TEST_P(SafetensorsGolden, NamesShapesAndTypes) {
  const auto folder = test::golden_folder() / "tiny_models" / GetParam().name;
  TT_REQUIRE_FILE(folder);
  const auto source = open_safetensors_folder(folder);
  Shapes shapes;
  for (const TensorInfo& tensor : source->tensors()) {
    shapes[tensor.name] = tensor.shape;
    EXPECT_EQ(name_of(tensor.dtype), name_of(GetParam().dtype)) << tensor.name;
    std::vector<float> values(tensor.num_elements());
    to_float(tensor, values.data());
    double squares = 0.0;
    for (const float value : values) squares += double{value} * value;
    const double rms = std::sqrt(squares / static_cast<double>(values.size()));
    EXPECT_TRUE(rms > 1e-3 && rms < 10.0) << tensor.name << ": " << rms;  // misread bytes would be anything
  }
  EXPECT_EQ(shapes, llama_shapes(test::read_json(folder / "config.json")));
}

INSTANTIATE_TEST_SUITE_P(Folders, SafetensorsGolden,
                         testing::Values(Folder{"llama_tied", DType::F32}, Folder{"llama_untied_rope3", DType::BF16},
                                         Folder{"llama_sharded", DType::F32}),
                         [](const auto& info) { return std::string(info.param.name); });

// Every other family of the goldens opens too, and holds the parameters whose gradients the golden lists.
TEST(SafetensorsGoldenFamilies, HoldTheParametersOfTheGolden) {
  for (const char* name : {"qwen2", "qwen3", "mistral_sliding", "gemma3", "gemma3_bf16", "phi3", "olmo2"}) {
    SCOPED_TRACE(name);
    const auto folder = test::golden_folder() / "tiny_models" / name;
    TT_REQUIRE_FILE(folder);
    const auto source = open_safetensors_folder(folder);
    const nlohmann::json golden = test::read_json(folder / "golden.json");
    const nlohmann::json& norms = golden["batches"][0]["grad_norm"];
    EXPECT_EQ(source->tensors().size(), norms.size());
    for (const auto& [parameter, norm] : norms.items()) EXPECT_NE(source->find(parameter), nullptr) << parameter;
  }
}

}  // namespace
}  // namespace thinktune::weights
