// convert and inspect: a model there and back, and what is said of one that has something wrong.
#include "program.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::cli {
namespace {

class Convert : public ProgramTest {
 protected:
  std::string in(const char* name) const { return (folder_.path() / name).string(); }

  Outcome convert(const std::string& from, const std::string& to, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"convert", from, to};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }

  // The answer of greedy sampling, as ids.
  std::string answer(const std::string& model, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"generate", "--model",     model, "--prompt",         "1+1?",
                                          "--ids",    "--precision", "f32", "--max-new-tokens", "12"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  }

  void expect_same_weights(const fs::path& a, const fs::path& b) const {
    const auto left = weights::open_safetensors_folder(a), right = weights::open_safetensors_folder(b);
    ASSERT_EQ(left->tensors().size(), right->tensors().size());
    for (const weights::TensorInfo& tensor : left->tensors()) {
      const weights::TensorInfo* other = right->find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      EXPECT_EQ(other->dtype, tensor.dtype) << tensor.name;
      EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin(), other->bytes.end()))
          << tensor.name;
    }
  }

  void edit_json(const fs::path& file, const json& changes) const {
    json content = json::parse(read_text(file));
    content.merge_patch(changes);
    write_text(file, content.dump());
  }
};

TEST_F(Convert, ToGgufAndBackIsTheSameModel) {
  const Outcome there = convert(model_.string(), in("there.gguf"));
  expect_success(there);
  EXPECT_THAT(there.out, HasSubstr("in F32"));
  expect_success(convert(in("there.gguf"), in("back")));
  expect_same_weights(model_, in("back"));
  for (const char* name : {"tokenizer.json", "chat_template.jinja", "tokenizer_config.json", "generation_config.json"})
    EXPECT_TRUE(fs::exists(fs::path(in("back")) / name)) << name;
  const std::string expected = answer(model_.string());
  EXPECT_EQ(answer(in("there.gguf")), expected);
  EXPECT_EQ(answer(in("back")), expected);
}

TEST_F(Convert, EveryTypeOfAGguf) {
  const std::string expected = answer(model_.string());
  for (const char* dtype : {"f32", "f16", "bf16", "q8_0"}) {
    const std::string out = in(dtype) + std::string(".gguf");
    expect_success(convert(model_.string(), out, {"--dtype", dtype}));
    const Outcome inspected = run_program({"inspect", out});
    expect_success(inspected);
    std::string upper = dtype;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    EXPECT_THAT(inspected.out, HasSubstr(upper));
    if (std::string(dtype) == "f32") {
      EXPECT_EQ(answer(out), expected);
    }
  }
}

TEST_F(Convert, ShardsAreReadAsOneModel) {
  // One shard cannot be smaller than a tensor, and the tiny model is smaller than a megabyte: a bigger one is made.
  model::ModelConfig config = test::tiny_config();
  config.hidden_size = 512;
  config.head_dim = 128;
  config.rotary_dim = 128;
  config.intermediate_size = 512;
  fs::create_directories(in("big"));
  model::save_pretrained(in("big"), config, test::random_weights(config, 3, at::kBFloat16),
                         test::byte_vocabulary(config));
  expect_success(convert(in("big"), in("shards"), {"--max-shard-mb", "1", "--dtype", "f32"}));
  EXPECT_TRUE(fs::exists(fs::path(in("shards")) / "model.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(fs::path(in("shards")) / "model.safetensors"));
  EXPECT_EQ(answer(in("shards")), answer(in("big")));
  expect_success(convert(in("shards"), in("one"), {"--dtype", "bf16"}));
  expect_same_weights(in("big"), in("one"));
}

TEST_F(Convert, WhatCameWithTheModelGoesWithIt) {
  write_text(model_ / "special_tokens_map.json", "{\"eos_token\": {\"content\": \"<|im_end|>\"}}");
  write_text(model_ / "LICENSE", "free\n");
  edit_json(model_ / "config.json", {{"initializer_range", 0.125}});
  edit_json(model_ / "generation_config.json", {{"temperature", 0.6}});
  expect_success(convert(model_.string(), in("out"), {"--dtype", "bf16"}));
  const fs::path out = in("out");
  for (const char* name : {"special_tokens_map.json", "LICENSE", "tokenizer.json"})
    EXPECT_EQ(read_text(out / name), read_text(model_ / name)) << name;
  const json config = json::parse(read_text(out / "config.json"));
  EXPECT_EQ(config["initializer_range"], 0.125);
  EXPECT_EQ(config["dtype"], "bfloat16");
  EXPECT_EQ(json::parse(read_text(out / "generation_config.json"))["temperature"], 0.6);
}

TEST_F(Convert, NothingIsOverwritten) {
  write_text(in("there.gguf"), "precious");
  expect_refused(convert(model_.string(), in("there.gguf")), {"is there already", "give another name"});
  EXPECT_EQ(read_text(in("there.gguf")), "precious");
  const auto before = snapshot(model_);
  expect_refused(convert(model_.string(), model_.string()), {"is there already"});
  EXPECT_TRUE(snapshot(model_) == before);
}

TEST_F(Convert, RefusalsLeaveNothingBehind) {
  expect_refused(convert(model_.string(), in("out"), {"--dtype", "q8_0"}),
                 {"a Hugging Face folder holds F32, F16 or BF16, not Q8_0", "write a .gguf file"});
  EXPECT_FALSE(fs::exists(in("out")));
  expect_refused(convert(model_.string(), in("out"), {"--dtype", "q4_k"}), {"q4_k"});
  expect_refused(convert(in("nowhere"), in("out")), {"there is no model at"});
  fs::remove(model_ / "tokenizer.json");
  expect_refused(convert(model_.string(), in("x.gguf")), {"has no tokenizer"}, kData);
  EXPECT_FALSE(fs::exists(in("x.gguf")));
}

TEST_F(Convert, WhatAKilledConversionLeftIsNoObstacle) {
  write_text(fs::path(in("out.thinktune-unfinished")) / "model-00001-of-00002.safetensors.tmp-1", "half");
  expect_success(convert(model_.string(), in("out")));
  EXPECT_FALSE(fs::exists(in("out.thinktune-unfinished")));
  expect_same_weights(model_, in("out"));
  expect_refused(run_program({"convert", model_.string(), in("full")}, {.file_bytes = 20000}), {"cannot write"});
  EXPECT_FALSE(fs::exists(in("full")));
  EXPECT_FALSE(fs::exists(in("full.thinktune-unfinished")));
}

TEST_F(Convert, NamesOfWhatIsWritten) {
  expect_success(convert(model_.string(), in("X.GGUF")));
  EXPECT_TRUE(fs::is_regular_file(in("X.GGUF")));
  fs::create_directories(in("folder.gguf"));
  expect_refused(convert(model_.string(), in("folder.gguf")), {"is there already"});
  expect_refused(convert(model_.string(), ""), {"the name of what is to be written is empty"});
  expect_refused(convert(model_.string(), in("x.safetensors")), {"x.safetensors is the name of one file"});
  EXPECT_FALSE(fs::exists(in("x.safetensors")));
  fs::create_directories(in("empty"));
  expect_success(convert(model_.string(), in("empty")));
}

TEST_F(Convert, IdsWithoutARowAreLeftOut) {
  edit_json(model_ / "config.json", {{"pad_token_id", -1}, {"bos_token_id", 999999}});
  edit_json(model_ / "generation_config.json", {{"eos_token_id", json::array({2, 888888})}});
  const std::string said = run_program({"inspect", model_.string()}).out;
  EXPECT_THAT(said, HasSubstr("bos_token_id 999999 is beyond the embedding's 300 rows"));
  EXPECT_THAT(said, HasSubstr("eos_token_id 888888 is beyond the embedding's 300 rows"));
  EXPECT_THAT(said, Not(HasSubstr("pad_token_id")));
  expect_success(convert(model_.string(), in("x.gguf")));
  EXPECT_EQ(answer(in("x.gguf")), answer(model_.string()));
}

TEST_F(Convert, ADiskThatBecomesFull) {
  const Outcome outcome = run_program({"convert", model_.string(), in("x.gguf")}, {.file_bytes = 20000});
  expect_refused(outcome, {"cannot write", "x.gguf"});
  EXPECT_FALSE(fs::exists(in("x.gguf")));
}

TEST_F(Convert, AGgufThatLlamaCppWouldComputeOtherwise) {
  edit_json(model_ / "config.json", {{"model_type", "mistral"}, {"sliding_window", 5}});
  const Outcome outcome = convert(model_.string(), in("x.gguf"));
  expect_success(outcome);
  EXPECT_THAT(outcome.err,
              HasSubstr("llama.cpp knows no attention window for mistral: it computes the same only for the "
                        "first 5 tokens"));
  EXPECT_EQ(answer(in("x.gguf")), answer(model_.string())) << "the window is read again";
  expect_success(convert(in("x.gguf"), in("back")));
  EXPECT_EQ(json::parse(read_text(fs::path(in("back")) / "config.json"))["sliding_window"], 5);
}

TEST_F(Convert, WeightsAloneAreAModelToo) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) fs::remove(model_ / name);
  const Outcome outcome = convert(model_.string(), in("out"));
  expect_success(outcome);
  EXPECT_THAT(outcome.err, HasSubstr("has no tokenizer: none is written"));
  expect_same_weights(model_, in("out"));
}

TEST_F(Convert, InspectSaysWhatAModelIs) {
  const Outcome outcome = run_program({"inspect", model_.string()});
  expect_success(outcome);
  for (const char* part :
       {"llama (LlamaForCausalLM)", "2 layers of width 32, MLP 48, 4 heads of 8 on 2 key/value heads, vocabulary 300",
        "head tied to the embedding", "embedding", "attention", "MLP", "norms", "F32", "with teacher", "GRPO, no KL",
        "300 tokens", "end of turn    2 <|im_end|>"})
    EXPECT_THAT(outcome.out, HasSubstr(part));
}

TEST_F(Convert, InspectNamesWhatLooksWrong) {
  // pad = eos stands in the tiny model itself.
  EXPECT_THAT(run_program({"inspect", model_.string()}).out, HasSubstr("pad_token_id 2 is also an end of turn"));

  edit_json(model_ / "config.json", {{"pad_token_id", 5}, {"eos_token_id", 0}, {"bos_token_id", 4711}});
  edit_json(model_ / "generation_config.json", {{"eos_token_id", nullptr}});
  const std::string ids = run_program({"inspect", model_.string()}).out;
  EXPECT_THAT(ids, HasSubstr("do not name 2 <|im_end|> as an end of turn"));
  EXPECT_THAT(ids, HasSubstr("bos_token_id 4711 is beyond the embedding's 300 rows"));

  json vocabulary = json::parse(read_text(model_ / "tokenizer.json"));
  vocabulary["added_tokens"].push_back({{"id", 300},
                                        {"content", "<|one more|>"},
                                        {"special", true},
                                        {"single_word", false},
                                        {"lstrip", false},
                                        {"rstrip", false},
                                        {"normalized", false}});
  write_text(model_ / "tokenizer.json", vocabulary.dump());
  EXPECT_THAT(run_program({"inspect", model_.string()}).out,
              HasSubstr("1 special tokens of the tokenizer, from 300 <|one more|>, have no row in the embedding"));
  expect_success(run_program({"generate", "--model", model_.string(), "--prompt", "x"}));
  expect_refused(run_program({"generate", "--model", model_.string(), "--raw", "--prompt", "x<|one more|>"}),
                 {"holds the token 300 (<|one more|>)", "embedding of 300 rows"}, kData);

  fs::remove(model_ / "model.safetensors");
  expect_refused(run_program({"inspect", model_.string()}), {"model.safetensors"}, kData);
}

class BaseModel : public Convert {
 protected:
  void SetUp() override {
    Convert::SetUp();
    template_ = json::parse(read_text(model_ / "tokenizer_config.json"))["chat_template"];
    fs::remove(model_ / "chat_template.jinja");
    edit_json(model_ / "tokenizer_config.json", {{"chat_template", nullptr}});
  }
  std::string template_;
};

TEST_F(BaseModel, IsRefusedWithoutATemplateAndTrainsWithOne) {
  EXPECT_THAT(run_program({"inspect", model_.string()}).out,
              HasSubstr("there is no chat template: it is a base model"));
  expect_refused_untouched({"there is no chat template", "chat_template=FILE.jinja"});
  expect_refused(run_program({"generate", "--model", model_.string(), "--prompt", "x"}), {"--chat-template"});
  expect_success(run_program({"generate", "--model", model_.string(), "--prompt", "x", "--raw"}));

  write_text(in("own.jinja"), template_);
  expect_success(train({"--set", "chat_template=" + in("own.jinja")}));
  EXPECT_EQ(read_text(output_ / "checkpoints" / "step-2" / "chat_template.jinja"), template_);
  expect_success(
      run_program({"generate", "--model", model_.string(), "--prompt", "x", "--chat-template", in("own.jinja")}));
}

TEST_F(BaseModel, ATemplateErrorNamesItsLine) {
  write_text(in("own.jinja"), "{% for m in messages %}\n{{ m.content }}\n{% endfour %}\n");
  expect_bad_file({"endfour", "line 3"}, {"--set", "chat_template=" + in("own.jinja")});
  write_text(in("own.jinja"), "{% for m in messages %}\n{{ m.content.nothing.at_all }}\n{% endfor %}\n");
  expect_bad_file({"line 2"}, {"--set", "chat_template=" + in("own.jinja")});
}

}  // namespace
}  // namespace thinktune::cli
