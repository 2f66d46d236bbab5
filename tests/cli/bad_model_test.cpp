// Models that are absent, cut off, damaged or of another make: each stops the program before anything is written.
#include <cstring>

#include "program.h"

namespace thinktune::cli {
namespace {

class BadModel : public ProgramTest {
 protected:
  fs::path weights_ = model_ / "model.safetensors";

  void cut(const fs::path& file, size_t bytes) {
    const std::string text = read_text(file);
    ASSERT_GT(text.size(), bytes);
    write_text(file, text.substr(0, bytes));
  }

  void edit_json(const fs::path& file, const std::function<void(json&)>& edit) {
    json content = json::parse(read_text(file));
    edit(content);
    write_text(file, content.dump());
  }

  // The safetensors file with another header before the same data.
  void edit_header(const std::function<void(json&)>& edit) {
    const std::string text = read_text(weights_);
    uint64_t size = 0;
    std::memcpy(&size, text.data(), sizeof size);
    json header = json::parse(text.substr(sizeof size, size));
    edit(header);
    const std::string changed = header.dump();
    size = changed.size();
    write_text(weights_, std::string(reinterpret_cast<const char*>(&size), sizeof size) + changed +
                             text.substr(8 + size_before(text)));
  }

  static uint64_t size_before(const std::string& text) {
    uint64_t size = 0;
    std::memcpy(&size, text.data(), sizeof size);
    return size;
  }
};

TEST_F(BadModel, IsNotThere) {
  const std::string nowhere = (folder_.path() / "nowhere").string();
  expect_refused_untouched({"there is no model at " + nowhere, "Hugging Face folder or a .gguf file"},
                           {"--set", "model=" + nowhere});
}

TEST_F(BadModel, IsNotNamed) {
  expect_refused_untouched({"model is missing", "name a Hugging Face folder or a .gguf file"}, {"--set", "model="});
  expect_refused(run_program({"generate", "--model", "", "--prompt", "x"}), {"the path of the model is empty"});
}

TEST_F(BadModel, IsAnEmptyFolder) {
  fs::create_directories(folder_.path() / "empty");
  expect_bad_file({"has no config.json", "fetch the missing file"},
                  {"--set", "model=" + (folder_.path() / "empty").string()});
}

TEST_F(BadModel, IsOneFileOfAFolder) {
  expect_refused_untouched({weights_.string() + " is one file of a model", "give the folder"},
                           {"--set", "model=" + weights_.string()});
}

TEST_F(BadModel, TruncatedGguf) {
  const fs::path file = folder_.path() / "cut.gguf";
  std::string content("GGUF\3\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x14\0\0\0\0\0\0\0general.arch", 44);
  if (fs::exists(test::model_file())) {  // the real model, as a broken download leaves it
    content.resize(100'000);
    std::ifstream(test::model_file(), std::ios::binary).read(content.data(), 100'000);
  }
  write_text(file, content);
  expect_bad_file({file.string() + ": truncated in ", "fetch the file again"}, {"--set", "model=" + file.string()});
}

TEST_F(BadModel, WrongMagic) {
  const fs::path file = folder_.path() / "model.gguf";
  write_text(file, "<html>404 not found</html>");
  expect_bad_file({file.string() + ": this is no GGUF file", "fetch the file again"},
                  {"--set", "model=" + file.string()});
}

TEST_F(BadModel, TruncatedSafetensors) {
  cut(weights_, 20'000);
  expect_bad_file({weights_.string(), "lies outside the file", "fetch the file again"});
  cut(weights_, 100);
  expect_bad_file({weights_.string(), "a header of", "fetch the file again"});
}

TEST_F(BadModel, SafetensorsWithoutAHeader) {
  write_text(weights_, "version https://git-lfs.github.com/spec/v1\n");
  expect_bad_file({weights_.string(), "git lfs pull"});
}

TEST_F(BadModel, TensorOutOfTheFile) {
  edit_header([](json& header) {
    json* last = nullptr;
    for (auto& [name, tensor] : header.items())
      if (name != "__metadata__" && (last == nullptr || tensor["data_offsets"][1] > (*last)["data_offsets"][1]))
        last = &tensor;
    const int64_t row_bytes = (*last)["shape"].size() == 2 ? 4 * (*last)["shape"][1].get<int64_t>() : 4;
    (*last)["shape"][0] = (*last)["shape"][0].get<int64_t>() + 1;
    (*last)["data_offsets"][1] = (*last)["data_offsets"][1].get<int64_t>() + row_bytes;
  });
  expect_bad_file({weights_.string(), "lies outside the file"});
}

TEST_F(BadModel, UnknownDtype) {
  edit_header([](json& header) { header["model.norm.weight"]["dtype"] = "F8_E4M3"; });
  expect_bad_file({weights_.string(), "'model.norm.weight' is stored as 'F8_E4M3'", "BF16 or F16 version"});
}

TEST_F(BadModel, TensorMissing) {
  edit_header([](json& header) {
    header["model.norm.wait"] = header["model.norm.weight"];
    header.erase("model.norm.weight");
  });
  expect_bad_file({weights_.string(), "model.norm.weight is missing"});
}

TEST_F(BadModel, ShapeAgainstTheConfig) {
  edit_json(model_ / "config.json", [](json& config) { config["hidden_size"] = 64; });
  expect_bad_file({weights_.string(), "model.embed_tokens.weight has shape [300, 32], the config says [300, 64]",
                   "must be those of one model"});
}

TEST_F(BadModel, LayersAgainstTheConfig) {
  edit_json(model_ / "config.json", [](json& config) { config["num_hidden_layers"] = 3; });
  expect_bad_file({"model.layers.2.input_layernorm.weight is missing", "must be those of one model"});
  edit_json(model_ / "config.json", [](json& config) { config["num_hidden_layers"] = 1; });
  expect_bad_file({"model.layers.1.", "is not part of a llama model"});
}

TEST_F(BadModel, SizesBeyondAnyMemory) {  // refused by the shapes in the file, before any memory is asked for
  edit_json(model_ / "config.json", [](json& config) { config["hidden_size"] = 2'000'000'000; });
  expect_bad_file({"model.embed_tokens.weight has shape [300, 32], the config says [300, 2000000000]"});
}

TEST_F(BadModel, SizesWhoseProductOverflows) {
  edit_json(model_ / "config.json", [](json& config) { config["hidden_size"] = config["vocab_size"] = 2'147'483'648; });
  expect_bad_file({"no model is that large"});
  expect_refused(run_program({"inspect", model_.string()}), {"no model is that large"}, kData);
}

TEST_F(BadModel, QuantisedWeights) {
  for (const json& quantised :
       {json(true), json::array({1}), json{{"quant_method", 5}}, json{{"quant_method", "fp8"}}}) {
    edit_json(model_ / "config.json", [&](json& config) { config["quantization_config"] = quantised; });
    expect_bad_file({"the weights are quantised", "in BF16 or F16, or a GGUF"});
  }
}

TEST_F(BadModel, UnknownArchitecture) {
  edit_json(model_ / "config.json", [](json& config) { config["model_type"] = "mamba"; });
  expect_bad_file({(model_ / "config.json").string(), "the architecture 'mamba' is not known", "known: ", "llama"});
}

TEST_F(BadModel, ConfigThatIsNoJson) {
  write_text(model_ / "config.json", "{\"model_type\": \"llama\"");
  const Outcome outcome = train();
  expect_refused(outcome,
                 {(model_ / "config.json").string() + ": not valid JSON", "at byte 23", "fetch the file again"}, kData);
}

TEST_F(BadModel, MissingVocabulary) {
  fs::remove(model_ / "tokenizer.json");
  expect_bad_file({"the folder " + model_.string() + " has no tokenizer",
                   "looked for: tokenizer.json, tokenizer.model, tekken.json"});
}

TEST_F(BadModel, VocabularyLargerThanTheEmbedding) {
  edit_json(model_ / "config.json", [](json& config) { config["vocab_size"] = 200; });
  expect_bad_file({"the tokenizer has 300 tokens, the embedding only 200", "must be those of one model"});
}

TEST_F(BadModel, NoChatTemplate) {
  fs::remove(model_ / "chat_template.jinja");
  edit_json(model_ / "tokenizer_config.json", [](json& config) { config.erase("chat_template"); });
  expect_refused_untouched({"there is no chat template", "take the instruct version of the model"});
}

// A run that went wrong wrote it, and it is seen where numbers are made: no damaged file.
TEST_F(BadModel, WeightsThatAreNotNumbers) {
  std::string text = read_text(weights_);
  const float nan = std::nanf("");
  for (size_t i = 8 + size_before(text); i + 4 <= text.size(); i += 4) std::memcpy(text.data() + i, &nan, 4);
  write_text(weights_, text);
  const Outcome outcome = run_program({"generate", "--model", model_.string(), "--prompt", "x"});
  EXPECT_EQ(outcome.exit_code, kDevice);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("not finite"), HasSubstr("go back to an earlier checkpoint")));
}

}  // namespace
}  // namespace thinktune::cli
