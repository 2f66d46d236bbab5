#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "small_vocabulary.h"
#include "thinktune/core/error.h"
#include "thinktune/text/byte_bpe.h"

namespace thinktune::text {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

json small_json(const std::string& pre_tokenizer = "smollm") {
  return json::parse(make_byte_bpe(test::small_vocabulary(pre_tokenizer))->to_tokenizer_json());
}

// The error for the small tokenizer.json after `change`.
core::Error refusal(const std::function<void(json&)>& change) {
  json root = small_json();
  change(root);
  try {
    make_byte_bpe(byte_bpe_from_tokenizer_json(root.dump(), "models/x/tokenizer.json"));
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::Data) << error.what();
    return error;
  }
  ADD_FAILURE() << "the tokenizer.json was accepted";
  return core::internal_error("accepted");
}

void expect_equal(const ByteBpeSpec& a, const ByteBpeSpec& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.is_special, b.is_special);
  EXPECT_EQ(a.merges, b.merges);
  EXPECT_EQ(a.pre_tokenizer, b.pre_tokenizer);
}

TEST(TokenizerJson, RoundTrip) {
  for (const char* pre_tokenizer : {"smollm", "gpt2"}) {
    auto spec = test::small_vocabulary(pre_tokenizer);
    spec.tokens.push_back("<｜special \"with\" spaces\n｜>");
    spec.is_special.push_back(1);
    expect_equal(byte_bpe_from_tokenizer_json(make_byte_bpe(spec)->to_tokenizer_json(), "x"), spec);
  }
}

TEST(TokenizerJson, MergesAsPairs) {
  json root = small_json();
  for (json& merge : root["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    const size_t space = text.find(' ');
    merge = json::array({text.substr(0, space), text.substr(space + 1)});
  }
  expect_equal(byte_bpe_from_tokenizer_json(root.dump(), "x"), test::small_vocabulary());
}

TEST(TokenizerJson, OldFilesWithoutModelType) {
  json root = small_json("gpt2");
  root["model"].erase("type");
  root["model"]["unk_token"] = "";
  root["model"]["continuing_subword_prefix"] = "";
  root["pre_tokenizer"].erase("use_regex");
  root["post_processor"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}};
  expect_equal(byte_bpe_from_tokenizer_json(root.dump(), "x"), test::small_vocabulary("gpt2"));
}

TEST(TokenizerJson, AddedTokensBeyondTheVocabulary) {
  json root = small_json();
  const auto id = root["model"]["vocab"].size();
  root["added_tokens"].push_back({{"id", id}, {"content", "<new>"}, {"special", true}});
  const auto tokenizer = make_byte_bpe(byte_bpe_from_tokenizer_json(root.dump(), "x"));
  EXPECT_EQ(tokenizer->special_id("<new>"), static_cast<TokenId>(id));
  EXPECT_EQ(tokenizer->vocab_size(), static_cast<int64_t>(id) + 1);
}

TEST(TokenizerJson, RefusesWhatIsNotKnownByName) {
  const std::vector<std::pair<std::function<void(json&)>, std::string>> cases = {
      {[](json& r) { r.erase("model"); }, "no \"model\""},
      {[](json& r) { r["model"]["type"] = "Unigram"; }, "\"Unigram\""},
      {[](json& r) { r["model"]["type"] = nullptr; }, "type"},
      {[](json& r) { r["model"]["byte_fallback"] = true; }, "byte_fallback"},
      {[](json& r) { r["model"]["ignore_merges"] = true; }, "ignore_merges"},
      {[](json& r) { r["model"]["dropout"] = 0.1; }, "dropout"},
      {[](json& r) { r["model"]["end_of_word_suffix"] = "</w>"; }, "</w>"},
      {[](json& r) { r["model"]["unk_token"] = "<|end|>"; }, "no token for the byte 4"},
      {[](json& r) {
         r["normalizer"] = {{"type", "NFC"}};
       },
       "normalizer is \"NFC\""},
      {[](json& r) {
         r["post_processor"] = {{"type", "TemplateProcessing"}};
       },
       "post_processor is \"TemplateProcessing\""},
      {[](json& r) {
         r["decoder"] = {{"type", "WordPiece"}};
       },
       "decoder is \"WordPiece\""},
      {[](json& r) { r["decoder"] = nullptr; }, "decoder is \"null\""},
      {[](json& r) { r["pre_tokenizer"] = nullptr; }, "pre_tokenizer is \"null\""},
      {[](json& r) {
         r["pre_tokenizer"] = {{"type", "Metaspace"}};
       },
       "pre_tokenizer is \"Metaspace\""},
      {[](json& r) { r["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false; }, "individual_digits"},
      {[](json& r) {
         r["pre_tokenizer"]["pretokenizers"][0] = {{"type", "Split"}};
       },
       "Split"},
      {[](json& r) { r["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }, "add_prefix_space"},
      {[](json& r) { r["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = false; }, "use_regex"},
      {[](json& r) { r["pre_tokenizer"]["pretokenizers"] = json::array(); }, "Sequence"},
      {[](json& r) { r["added_tokens"][0]["special"] = false; }, "is not special"},
      {[](json& r) { r["added_tokens"][0]["lstrip"] = true; }, "lstrip"},
      {[](json& r) { r["added_tokens"][0]["id"] = 7; }, "two tokens"},
      {[](json& r) { r["model"]["vocab"].erase("a"); }, "has no token"},
      {[](json& r) { r["model"]["vocab"]["a"] = "b"; }, "has no id"},
      {[](json& r) { r["model"]["vocab"]["a"] = -1; }, "out of range"},
      {[](json& r) { r["model"]["vocab"]["a"] = int64_t{1} << 40; }, "out of range"},
      {[](json& r) { r["model"]["merges"][2] = json::array({"a"}); }, "merge 2"},
      {[](json& r) {
         r["model"]["merges"][2] = json::array({"a a", "a"});
       },
       "merge 2"},
      {[](json& r) { r["model"]["merges"][2] = 5; }, "merge 2"},
  };
  for (const auto& [change, expected] : cases) EXPECT_THAT(refusal(change).message(), HasSubstr(expected));
  EXPECT_THAT(refusal([](json& r) { r["model"]["type"] = "Unigram"; }).message(), HasSubstr("models/x/tokenizer.json"));
}

TEST(TokenizerJson, EveryTruncationIsRefused) {
  const std::string whole = make_byte_bpe(test::small_vocabulary())->to_tokenizer_json();
  for (size_t size = 0; size < whole.size(); size += 97) {
    try {
      byte_bpe_from_tokenizer_json(std::string_view(whole).substr(0, size), "cut.json");
      ADD_FAILURE() << size;
    } catch (const core::Error& error) {
      EXPECT_EQ(error.kind(), core::ErrorKind::Data);
      EXPECT_THAT(error.message(), HasSubstr("cut.json"));
    }
  }
}

TEST(TokenizerJson, OtherJsonIsRefused) {
  for (const char* text :
       {"null", "[]", "3", "{}", R"({"model": null})", R"({"model": []})", R"({"model": {"vocab": {}}})"})
    EXPECT_THROW(byte_bpe_from_tokenizer_json(text, "x"), core::Error) << text;
}

}  // namespace
}  // namespace thinktune::text
