// Real tokenizers against the libraries of their makers (../shared/golden/tokenizers/README.md), id by id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <chrono>
#include <fstream>

#include "gguf_vocabulary_reader.h"
#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/text/open_tokenizer.h"
#include "thinktune/text/stream_decoder.h"

namespace thinktune::text {
namespace {

using nlohmann::json;
using test::golden_folder;
using test::read_json;
using testing::ElementsAre;

std::filesystem::path smollm2_file() { return golden_folder() / "tokenizers/smollm2/tokenizer.json"; }
std::filesystem::path mistral_file() { return golden_folder() / "tokenizers/mistral_v3/tokenizer.model"; }

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::string stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

struct Skipped {
  bool dummy_prefix = false;  // texts before which a tokenizer.json cannot say that there is a space
  bool parsing = false;       // special tokens parsed
};

void expect_golden(const Tokenizer& tokenizer, const std::string& name, const Skipped& skipped = {}) {
  const json golden = read_json(golden_folder() / "tokenizers" / (name + ".json"));
  size_t num_cases = 0;
  for (const json& c : golden["cases"]) {
    const auto text = c["text"].get<std::string>();
    ++num_cases;
    if (skipped.dummy_prefix && (text.starts_with(" ") || text.starts_with("▁") || text.starts_with("[REFERENCE_DOC_")))
      continue;
    const auto ids = c["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.decode(ids), c.value("decoded", text)) << text;
    EXPECT_EQ(stream(tokenizer, ids, false), c.value("decoded", text)) << text;
    if (skipped.parsing) continue;
    const auto ids_special = c.value("ids_special", ids);
    const auto decoded_special =
        c.value("decoded_special", c.contains("ids_special") ? text : c.value("decoded", text));
    EXPECT_EQ(tokenizer.encode(text, Special::Parse), ids_special) << text;
    EXPECT_EQ(tokenizer.decode(ids_special), decoded_special) << text;
    EXPECT_EQ(tokenizer.decode(ids_special, true), c.value("decoded_special_skipped", decoded_special)) << text;
    EXPECT_EQ(stream(tokenizer, ids_special, true), c.value("decoded_special_skipped", decoded_special)) << text;
  }
  EXPECT_EQ(num_cases, 423u);
  for (const json& c : golden["meta"].value("random_ids", json::array()))
    EXPECT_EQ(hex(tokenizer.decode(c["ids"].get<std::vector<TokenId>>())), c["bytes_hex"].get<std::string>());
  const auto bos = golden["meta"]["adds_bos"] == true ? std::vector<TokenId>{golden["meta"]["bos_id"].get<TokenId>()}
                                                      : std::vector<TokenId>{};
  EXPECT_EQ(tokenizer.add_special_tokens({}), bos);
}

TEST(Smollm2Tokenizer, EqualsTheReferenceIdById) {
  TT_REQUIRE_FILE(smollm2_file());
  const auto tokenizer = open_tokenizer(smollm2_file().parent_path());
  expect_golden(*tokenizer, "smollm2");

  std::vector<int> without_token;
  for (int byte = 0; byte < 256; ++byte)
    if (tokenizer->encode(std::string(1, static_cast<char>(byte))).empty()) without_token.push_back(byte);
  const json golden = read_json(golden_folder() / "tokenizers/smollm2.json");
  EXPECT_EQ(without_token, golden["meta"]["bytes_without_token"].get<std::vector<int>>());
}

TEST(Smollm2Tokenizer, WrittenTokenizerJsonIsTheSameTokenizer) {
  TT_REQUIRE_FILE(smollm2_file());
  const std::string written = open_tokenizer(smollm2_file())->to_tokenizer_json();
  // Field by field what `tokenizers` itself wrote, but for the decoder's add_prefix_space, which a decoder does not
  // use.
  json expected = read_json(smollm2_file());
  expected["decoder"]["add_prefix_space"] = false;
  EXPECT_EQ(json::parse(written), expected);
}

TEST(Smollm2Tokenizer, FromItsGgufAndThereAndBack) {
  TT_REQUIRE_FILE(smollm2_file());
  TT_REQUIRE_FILE(test::model_file());
  const auto from_file = tokenizer_from_gguf(test::read_gguf_vocabulary(test::model_file()), "the GGUF");
  expect_golden(*from_file, "smollm2");
  const GgufVocabulary written = open_tokenizer(smollm2_file())->to_gguf();
  EXPECT_EQ(written.model, "gpt2");
  EXPECT_EQ(written.pre, "smollm");
  expect_golden(*tokenizer_from_gguf(written, "written"), "smollm2");
}

TEST(MistralV3Tokenizer, EqualsTheReferenceIdById) {
  TT_REQUIRE_FILE(mistral_file());
  const auto tokenizer = open_tokenizer(mistral_file().parent_path());
  // sentencepiece itself never parses control pieces: only ids of plain texts are known.
  expect_golden(*tokenizer, "mistral_v3", {.parsing = true});
  expect_golden(*tokenizer_from_gguf(tokenizer->to_gguf(), "written"), "mistral_v3", {.parsing = true});
}

// Texts are cut where no piece reaches over, and words that were met before are remembered: the library, given whole
// texts, must agree. Also where a character is broken or a space mark is typed.
TEST(MistralV3Tokenizer, CutTextsEqualTheLibrarysOwn) {
  TT_REQUIRE_FILE(mistral_file());
  TT_REQUIRE_FILE(test::data_folder() / "math500/test.jsonl");
  const auto tokenizer = open_tokenizer(mistral_file());
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(mistral_file().string()).ok());
  int64_t num_ids = 0;
  const auto expect_same = [&](const std::string& text) {
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    ASSERT_EQ(tokenizer->encode(text), std::vector<TokenId>(expected.begin(), expected.end())) << text;
    num_ids += std::ssize(expected);
  };
  for (const char* file : {"math500/test.jsonl", "svamp/test.jsonl", "aime2024/test.jsonl"}) {
    std::ifstream in(test::data_folder() / file);
    for (std::string line; std::getline(in, line);) expect_same(line);
  }
  EXPECT_GT(num_ids, 200'000);

  const std::vector<std::string> parts = {" ",  "  ", "\n", "▁",  "a", "The", "é",      "数",      "\xC3", "\xE2\x96",
                                          "12", ".5", ",",  "\t", "'", "don", "\u00A0", "e\u0301", "😀",    "\xF0\x9F"};
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    std::string text;
    const core::RandomKey key = {.seed = seed};
    for (uint32_t i = 0; i < 12; ++i) text += parts[core::random_below(key, i, parts.size())];
    expect_same(text);
  }
}

TEST(MistralV3Tokenizer, ControlPiecesInTemplates) {
  TT_REQUIRE_FILE(mistral_file());
  const auto tokenizer = open_tokenizer(mistral_file());
  const TokenId begin = tokenizer->special_id("[INST]"), end = tokenizer->special_id("[/INST]");
  EXPECT_EQ(begin, 3);
  EXPECT_EQ(end, 4);
  const std::vector<TokenId> hi = tokenizer->encode("Hi");  // "▁Hi"
  ASSERT_EQ(hi.size(), 1u);
  // The template writes the space; the tokenizer adds none of its own behind the control piece.
  EXPECT_THAT(tokenizer->encode({{"<s>[INST] ", Special::Parse}, {"Hi", Special::AsText}, {"[/INST]", Special::Parse}}),
              ElementsAre(1, begin, hi[0], end));
  EXPECT_THAT(tokenizer->encode({{"[INST]", Special::AsText}}), testing::Not(testing::Contains(begin)));
  EXPECT_EQ(tokenizer->encode({{"<s>[INST]", Special::Parse}, {"Hi", Special::AsText}})[2],
            tokenizer->encode_continuation("Hi")[0]);
}

// The format can put a space before every stretch between added tokens, or before a text that begins neither with a
// space nor with an added token (user-defined pieces are such here). Behind special tokens there must be none, so it is
// the second: texts of the other two kinds lose that space.
TEST(MistralV3Tokenizer, WrittenTokenizerJsonGivesTheSameIds) {
  TT_REQUIRE_FILE(mistral_file());
  const auto model = open_tokenizer(mistral_file());
  const auto tokenizer = tokenizer_from_json(model->to_tokenizer_json(), "written");
  expect_golden(*tokenizer, "mistral_v3", {.dummy_prefix = true, .parsing = true});
  const std::vector<Segment> chat = {
      {"<s>[INST] ", Special::Parse}, {" Hi  there ", Special::AsText}, {"[/INST] Yes</s>", Special::Parse}};
  EXPECT_EQ(tokenizer->encode(chat), model->encode(chat));
  EXPECT_EQ(tokenizer->encode_continuation("a b"), model->encode_continuation("a b"));
  expect_golden(*tokenizer_from_gguf(tokenizer->to_gguf(), "GGUF of it"), "mistral_v3", {.parsing = true});
}

TEST(Gemma3Tokenizer, EqualsTheReferenceIdById) {
  TT_REQUIRE_FILE(test::gemma_file());
  const auto tokenizer = tokenizer_from_gguf(test::read_gguf_vocabulary(test::gemma_file()), "gemma.gguf");
  expect_golden(*tokenizer, "gemma3");
  expect_golden(*tokenizer_from_gguf(tokenizer->to_gguf(), "written"), "gemma3");
}

TEST(Gemma3Tokenizer, WrittenTokenizerJsonGivesTheSameIds) {
  TT_REQUIRE_FILE(test::gemma_file());
  const auto model = tokenizer_from_gguf(test::read_gguf_vocabulary(test::gemma_file()), "gemma.gguf");
  const std::string written = model->to_tokenizer_json();
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = tokenizer_from_json(written, "written");
  const std::chrono::duration<double> elapsed_s = std::chrono::steady_clock::now() - start;
  EXPECT_LT(elapsed_s.count(), 20) << "262,144 tokens are read in about half a second";
  expect_golden(*tokenizer, "gemma3");
}

TEST(Llama3Tokenizer, EqualsTheReferenceIdById) {
  TT_REQUIRE_FILE(test::llama3_tokenizer_file());
  const auto tokenizer = open_tokenizer(test::llama3_tokenizer_file());
  EXPECT_EQ(tokenizer->vocab_size(), 128'256);
  expect_golden(*tokenizer, "llama3");
  expect_golden(*tokenizer_from_json(tokenizer->to_tokenizer_json(), "written"), "llama3");
  const GgufVocabulary written = tokenizer->to_gguf();
  EXPECT_EQ(written.pre, "llama-bpe");
  expect_golden(*tokenizer_from_gguf(written, "written"), "llama3");
}

}  // namespace
}  // namespace thinktune::text
