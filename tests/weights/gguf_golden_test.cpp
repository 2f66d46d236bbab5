// Against gguf 0.19.0 (gguf.dequantize): single blocks, and every tensor of SmolLM2-135M-Instruct Q4_1.
#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

#include "support/paths.h"
#include "thinktune/weights/gguf.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

std::optional<DType> supported(const std::string& name) {
  for (const DType dtype :
       {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1})
    if (name_of(dtype) == name) return dtype;
  return std::nullopt;
}

// Distance in units of the last place; 0 and -0 are the same number.
int64_t ulps(float a, float b) {
  const auto ordered = [](float x) {
    const auto bits = std::bit_cast<int32_t>(x);
    return bits < 0 ? -static_cast<int64_t>(bits & 0x7fffffff) : static_cast<int64_t>(bits);
  };
  return std::abs(ordered(a) - ordered(b));
}

TEST(GgufGolden, BlocksToOneUlp) {
  const auto path = test::golden_folder() / "real_models/gguf_blocks.json";
  TT_REQUIRE_FILE(path);
  const nlohmann::json golden = test::read_json(path);
  int num_blocks = 0;
  for (const nlohmann::json& block : golden["cases"]) {
    const auto dtype = supported(block["type"]);
    if (!dtype) continue;
    const std::string hex = block["bytes_hex"];
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
    const std::vector<double> expected = block["values"];
    std::vector<float> values(expected.size());
    to_float(*dtype, bytes, values.size(), values.data());
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_LE(ulps(values[i], static_cast<float>(expected[i])), 1)
          << block["type"] << " " << block["origin"] << " value " << i;
    ++num_blocks;
  }
  EXPECT_EQ(num_blocks, 15);
}

TEST(GgufGolden, EveryTensorOfSmolLm2) {
  const auto path = test::golden_folder() / "real_models/smollm2_gguf_tensors.json";
  TT_REQUIRE_FILE(path);
  TT_REQUIRE_FILE(test::model_file());
  const nlohmann::json golden = test::read_json(path);
  const Gguf gguf(test::model_file());
  ASSERT_EQ(gguf.tensors().size(), 272u);
  ASSERT_EQ(golden["tensors"].size(), 272u);
  double seconds = 0.0;
  size_t num_values = 0;
  for (size_t t = 0; t < 272; ++t) {
    const nlohmann::json& expected = golden["tensors"][t];
    const TensorInfo& tensor = gguf.tensors()[t];
    SCOPED_TRACE(tensor.name);
    EXPECT_EQ(tensor.name, expected["name"]);
    EXPECT_EQ(name_of(tensor.dtype), expected["type"].get<std::string>());
    std::vector<int64_t> shape = expected["ggml_shape"];
    std::reverse(shape.begin(), shape.end());
    EXPECT_EQ(tensor.shape, shape);

    std::vector<float> values(tensor.num_elements());
    const auto start = std::chrono::steady_clock::now();
    to_float(tensor, values.data());
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    num_values += values.size();
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
      EXPECT_LE(ulps(values[index], static_cast<float>(expected["sample"][i].get<double>())), 1) << "value " << index;
    }
  }
  EXPECT_EQ(num_values, 134515008u);
  RecordProperty("dequantise_s", std::to_string(seconds));
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
