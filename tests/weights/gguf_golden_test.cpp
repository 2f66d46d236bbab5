// Against gguf 0.19.0 (gguf.dequantize and gguf.quantize): single blocks, and every tensor of two real models.
#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "support/paths.h"
#include "thinktune/weights/gguf.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

std::optional<DType> dtype_of(const nlohmann::json& name) {
  for (const DType dtype : test::every_dtype())
    if (name_of(dtype) == name.get<std::string>()) return dtype;
  return std::nullopt;
}

std::vector<std::byte> bytes_of_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

uint32_t bits_of(double exact) { return std::bit_cast<uint32_t>(static_cast<float>(exact)); }

TEST(GgufGolden, BlocksToTheBit) {
  const auto path = test::golden_folder() / "real_models/gguf_blocks.json";
  TT_REQUIRE_FILE(path);
  const nlohmann::json golden = test::read_json(path);
  int num_blocks = 0;
  for (const nlohmann::json& block : golden["cases"]) {
    const auto dtype = dtype_of(block["type"]);
    if (!dtype) continue;
    const std::vector<double> expected = block["values"];
    std::vector<float> values(expected.size());
    to_float(*dtype, bytes_of_hex(block["bytes_hex"]), values.size(), values.data());
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(std::bit_cast<uint32_t>(values[i]), bits_of(expected[i]))
          << block["type"] << " " << block["origin"] << " value " << i << ": " << values[i] << ", not " << expected[i];
    ++num_blocks;
  }
  EXPECT_EQ(num_blocks, 24);
}

TEST(GgufGolden, QuantisesToTheByte) {
  const auto path = test::golden_folder() / "real_models/gguf_blocks.json";
  TT_REQUIRE_FILE(path);
  const nlohmann::json golden = test::read_json(path);
  int num_blocks = 0;
  for (const nlohmann::json& block : golden["cases"]) {
    const auto dtype = dtype_of(block["type"]);
    if (!block.contains("source") || !(dtype == DType::F16 || dtype == DType::BF16 || dtype == DType::Q8_0)) continue;
    const std::vector<float> source = block["source"];
    std::vector<std::byte> bytes(bytes_of(*dtype, source.size()));
    from_float(*dtype, source.data(), source.size(), bytes.data());
    EXPECT_EQ(bytes, bytes_of_hex(block["bytes_hex"])) << block["type"];
    ++num_blocks;
  }
  EXPECT_EQ(num_blocks, 3);
}

void expect_tensors(const nlohmann::json& golden, const Gguf& gguf, size_t num_tensors) {
  ASSERT_EQ(gguf.tensors().size(), num_tensors);
  ASSERT_EQ(golden["tensors"].size(), num_tensors);
  for (size_t t = 0; t < num_tensors; ++t) {
    const nlohmann::json& expected = golden["tensors"][t];
    const TensorInfo& tensor = gguf.tensors()[t];
    SCOPED_TRACE(tensor.name);
    EXPECT_EQ(tensor.name, expected["name"]);
    EXPECT_EQ(name_of(tensor.dtype), expected["type"].get<std::string>());
    std::vector<int64_t> shape = expected["ggml_shape"];
    std::reverse(shape.begin(), shape.end());
    EXPECT_EQ(tensor.shape, shape);

    std::vector<float> values(tensor.num_elements());
    to_float(tensor, values.data());
    double sum = 0.0, abs_sum = 0.0;
    for (const float value : values) {
      sum += value;
      abs_sum += std::abs(value);
    }
    const double tolerance = 1e-6 * expected["abs_sum"].get<double>();
    EXPECT_NEAR(sum, expected["sum"].get<double>(), tolerance);
    EXPECT_NEAR(abs_sum, expected["abs_sum"].get<double>(), tolerance);
    for (size_t i = 0; i < expected["sample"].size(); ++i) {
      const size_t index = expected["sample_index"][i];
      ASSERT_LT(index, values.size());
      EXPECT_EQ(std::bit_cast<uint32_t>(values[index]), bits_of(expected["sample"][i])) << "value " << index;
    }
  }
}

TEST(GgufGolden, EveryTensorOfSmolLm2) {  // Q4_1, Q8_0, F32
  const auto path = test::golden_folder() / "real_models/smollm2_gguf_tensors.json";
  TT_REQUIRE_FILE(path);
  TT_REQUIRE_FILE(test::model_file());
  expect_tensors(test::read_json(path), Gguf(test::model_file()), 272);
}

TEST(GgufGolden, EveryTensorOfGemma3) {  // Q5_0, Q8_0, Q4_K, Q6_K, F32
  const auto path = test::golden_folder() / "real_models/gemma3_gguf_tensors.json";
  TT_REQUIRE_FILE(path);
  TT_REQUIRE_FILE(test::gemma_file());
  expect_tensors(test::read_json(path), Gguf(test::gemma_file()), 236);
}

TEST(GgufGolden, MetadataOfSmolLm2) {
  TT_REQUIRE_FILE(test::model_file());
  const Gguf gguf(test::model_file());
  EXPECT_EQ(gguf.text("general.architecture"), "llama");
  EXPECT_EQ(gguf.integer("llama.block_count"), 30);
  EXPECT_EQ(gguf.integer("llama.embedding_length"), 576);
  EXPECT_NEAR(gguf.number("llama.attention.layer_norm_rms_epsilon"), 1e-5, 1e-11);
  EXPECT_EQ(gguf.texts("tokenizer.ggml.tokens").size(), 49152u);
  EXPECT_EQ(gguf.integers("tokenizer.ggml.token_type").size(), 49152u);
  EXPECT_FALSE(gguf.text("tokenizer.chat_template").empty());
}

}  // namespace
}  // namespace thinktune::weights
