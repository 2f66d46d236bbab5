#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "small_vocabulary.h"
#include "support/errors.h"
#include "thinktune/core/error.h"
#include "thinktune/text/byte_bpe.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::text {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

json small_json(const std::string& pre_tokenizer = "smollm") {
  return json::parse(make_byte_bpe(test::small_vocabulary(pre_tokenizer))->to_tokenizer_json());
}

// The message for a tokenizer.json that must be refused.
std::string refusal_of(std::string_view text) {
  const std::string message =
      test::message_of_error(core::ErrorKind::Data, [&] { tokenizer_from_json(text, "models/x/tokenizer.json"); });
  EXPECT_THAT(message, HasSubstr("models/x/tokenizer.json"));
  return message;
}

// … and of the small one after `change`.
std::string refusal(const std::function<void(json&)>& change) {
  json root = small_json();
  change(root);
  return refusal_of(root.dump());
}

void expect_equal(const Tokenizer& a, const Tokenizer& b) {
  EXPECT_EQ(json::parse(a.to_tokenizer_json()), json::parse(b.to_tokenizer_json()));
}

TEST(TokenizerJson, RoundTrip) {
  for (const char* pre_tokenizer : {"smollm", "gpt2", "qwen2", "tekken", "gpt-4o", "deepseek-llm", "default"}) {
    auto spec = test::small_vocabulary(pre_tokenizer);
    spec.tokens.push_back("<｜special \"with\" spaces\n｜>");
    spec.is_special.push_back(1);
    const auto tokenizer = make_byte_bpe(spec);
    expect_equal(*tokenizer_from_json(tokenizer->to_tokenizer_json(), "x"), *tokenizer);
  }
}

TEST(TokenizerJson, MergesAsPairs) {
  json root = small_json();
  for (json& merge : root["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    const size_t space = text.find(' ');
    merge = json::array({text.substr(0, space), text.substr(space + 1)});
  }
  const auto tokenizer = tokenizer_from_json(root.dump(), "x");
  EXPECT_EQ(json::parse(tokenizer->to_tokenizer_json()), root);
  EXPECT_EQ(tokenizer->encode("hello"), make_byte_bpe(test::small_vocabulary())->encode("hello"));
}

TEST(TokenizerJson, TokensWithSpacesInMergePairs) {
  json root = small_json();
  root["model"]["vocab"]["a b"] = root["model"]["vocab"].size();
  root["model"]["vocab"]["a bc"] = root["model"]["vocab"].size();
  root["model"]["merges"] = json::array({json::array({"a b", "c"})});
  const auto tokenizer = tokenizer_from_json(root.dump(), "x");
  EXPECT_EQ(json::parse(tokenizer->to_tokenizer_json()), root);
}

TEST(TokenizerJson, OldFilesWithoutModelType) {
  json root = small_json("gpt2");
  root["model"].erase("type");
  root["model"]["unk_token"] = "";
  root["model"]["continuing_subword_prefix"] = "";
  root["pre_tokenizer"].erase("use_regex");
  root["post_processor"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}};
  expect_equal(*tokenizer_from_json(root.dump(), "x"), *make_byte_bpe(test::small_vocabulary("gpt2")));
}

TEST(TokenizerJson, AddedTokensBeyondTheVocabulary) {
  json root = small_json();
  const auto id = root["model"]["vocab"].size();
  root["added_tokens"].push_back({{"id", id}, {"content", "<new>"}, {"special", true}});
  const auto tokenizer = tokenizer_from_json(root.dump(), "x");
  EXPECT_EQ(tokenizer->special_id("<new>"), static_cast<TokenId>(id));
  EXPECT_EQ(tokenizer->vocab_size(), static_cast<int64_t>(id) + 1);
}

// A merge may lead to a special token's text; what a user typed must not.
TEST(TokenizerJson, MergesNeverMakeSpecialTokens) {
  json root = small_json();
  root["added_tokens"].push_back({{"id", root["model"]["vocab"]["hello"]}, {"content", "hello"}, {"special", true}});
  root["model"]["ignore_merges"] = true;
  const auto tokenizer = tokenizer_from_json(root.dump(), "x");
  const TokenId hello = tokenizer->special_id("hello");
  EXPECT_THAT(tokenizer->encode("hello"), testing::Not(testing::Contains(hello)));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("hello")), "hello");
  EXPECT_THAT(tokenizer->encode("hello", Special::Parse), testing::ElementsAre(hello));
}

using Change = std::function<void(json&)>;

TEST(TokenizerJson, RefusesModelsThatAreNotKnown) {
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](json& r) { r.erase("model"); }, "no \"model\""},
      {[](json& r) { r["model"]["type"] = "Unigram"; }, "\"Unigram\""},
      {[](json& r) { r["model"]["type"] = nullptr; }, "type"},
      {[](json& r) { r["model"]["dropout"] = 0.1; }, "dropout"},
      {[](json& r) { r["model"]["end_of_word_suffix"] = "</w>"; }, "</w>"},
      {[](json& r) { r["model"]["continuing_subword_prefix"] = "##"; }, "##"},
      {[](json& r) { r["model"]["unk_token"] = "<|end|>"; }, "no token for the byte 4"},
      {[](json& r) { r["model"]["unk_token"] = "<none>"; }, "unk_token"},
      {[](json& r) { r["model"]["ignore_merges"] = 5; }, "type"},
      {[](json& r) { r["model"]["merges"] = nullptr; }, "not \"BPE\""},
      {[](json& r) { r["model"]["vocab"] = json::array(); }, "not \"BPE\""},
  };
  for (const auto& [change, expected] : cases) EXPECT_THAT(refusal(change), HasSubstr(expected));
}

TEST(TokenizerJson, RefusesPartsThatAreNotKnown) {
  const auto set = [](const char* part, json value) { return [=](json& r) { r[part] = value; }; };
  const json byte_level = {{"type", "ByteLevel"}};
  const std::vector<std::pair<Change, std::string>> cases = {
      {set("normalizer", {{"type", "Lowercase"}}), "normalizer is \"Lowercase\""},
      {set("normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Precompiled"}}}}}), "\"Precompiled\""},
      {set("normalizer", {{"type", "Sequence"}}), "Sequence has no \"normalizers\""},
      {set("normalizer", {{"type", "Replace"}, {"pattern", "a"}, {"content", "b"}}), "neither a String nor a Regex"},
      {set("normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", "("}}}, {"content", ""}}), "cannot be compiled"},
      {set("normalizer", "NFC"), "\"untyped\""},
      {set("post_processor", {{"type", "Weird"}}), "post_processor is \"Weird\""},
      {set("post_processor", {{"type", "TemplateProcessing"}}), "special_tokens"},
      {set("post_processor",
           {{"type", "TemplateProcessing"}, {"single", json::array()}, {"special_tokens", json::object()}}),
       "post_processor"},
      {set("post_processor", {{"type", "BertProcessing"}, {"cls", {"x", 9999}}, {"sep", {"x", 0}}}),
       "an id that is not there"},
      {set("decoder", {{"type", "WordPiece"}}), "decoder is \"WordPiece\""},
      {set("decoder", nullptr), "decoder is \"null\""},
      {set("decoder", {{"type", "Sequence"}, {"decoders", {{{"type", "Strip"}, {"content", " "}, {"start", 1}}}}}),
       "decoder is \"Sequence\""},
      {set("decoder", {{"type", "Metaspace"}}), "only one is \"ByteLevel\""},
      {set("pre_tokenizer", nullptr), "only one is \"ByteLevel\""},
      {set("pre_tokenizer", {{"type", "Whitespace"}}), "pre_tokenizer is \"Whitespace\""},
      {set("pre_tokenizer", {{"type", "Metaspace"}, {"prepend_scheme", "last"}}), "prepend_scheme is \"last\""},
      {set("pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {byte_level, {{"type", "Digits"}}}}}),
       "pre_tokenizer is \"ByteLevel\""},
      {set("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Odd"}}),
       "behavior is \"Odd\""},
      {set("pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", json::array()}}), "only one is \"ByteLevel\""},
  };
  for (const auto& [change, expected] : cases) EXPECT_THAT(refusal(change), HasSubstr(expected));
}

TEST(TokenizerJson, VocabularyWithAHole) {
  EXPECT_THAT(refusal([](json& r) {
                r["model"]["vocab"].erase("a");
                r["added_tokens"].push_back({{"id", 0}, {"content", "<|end|>"}});
              }),
              HasSubstr("has no token"));
}
TEST(TokenizerJson, IdOutOfRange) {
  for (const int64_t id : {int64_t{-1}, int64_t{1} << 40, int64_t{5000}})
    EXPECT_THAT(refusal([&](json& r) { r["model"]["vocab"]["a"] = id; }), HasSubstr("out of range"));
  EXPECT_THAT(refusal_of(R"({"model":{"vocab":{"a":99999999999999999999},"merges":[]}})"), HasSubstr("has no id"));
}
TEST(TokenizerJson, TokenWithoutId) {
  for (const json& id : {json("b"), json(1.5), json(nullptr), json::array(), json::object()})
    EXPECT_THAT(refusal([&](json& r) { r["model"]["vocab"]["a"] = id; }), HasSubstr("has no id"));
}
TEST(TokenizerJson, IdOfTwoTokens) {
  EXPECT_THAT(refusal([](json& r) { r["added_tokens"][0]["id"] = 7; }), HasSubstr("two tokens"));
}
TEST(TokenizerJson, TokenOfTwoIds) {
  EXPECT_THAT(refusal([](json& r) {
                r["added_tokens"].push_back({{"id", r["model"]["vocab"].size()}, {"content", "hello"}});
              }),
              HasSubstr("has two ids"));
}
TEST(TokenizerJson, AddedTokenEmpty) {
  EXPECT_THAT(refusal([](json& r) { r["added_tokens"][0]["content"] = ""; }), HasSubstr("is empty"));
}
TEST(TokenizerJson, AddedTokensThatAreNoList) {
  EXPECT_THAT(refusal([](json& r) { r["added_tokens"] = 3; }), HasSubstr("no list"));
}
TEST(TokenizerJson, MergeOfAnUnknownToken) {
  EXPECT_THAT(refusal([](json& r) { r["model"]["merges"][2] = "xy z"; }),
              AllOf(HasSubstr("merge 2"), HasSubstr("not in the vocabulary")));
}
TEST(TokenizerJson, MergeMalformed) {
  for (const json& merge : {json::array({"a"}), json::array({"a", "a", "a"}), json::array({1, 2}), json(5), json("aa"),
                            json("a a a"), json(nullptr), json::object()})
    EXPECT_THAT(refusal([&](json& r) { r["model"]["merges"][2] = merge; }), HasSubstr("merge 2"));
}
TEST(TokenizerJson, MergeTwice) {
  EXPECT_THAT(refusal([](json& r) { r["model"]["merges"].push_back(r["model"]["merges"][0]); }),
              HasSubstr("is there twice"));
}
TEST(TokenizerJson, NameTwice) {
  EXPECT_THAT(refusal_of(R"({"model": {}, "model": {}})"), HasSubstr("\"model\" is there twice"));
  EXPECT_THAT(refusal_of(R"({"model": {"vocab": {"a": 0, "a": 1}}})"), HasSubstr("\"a\" twice"));
}
TEST(TokenizerJson, InvalidUtf8InAString) {
  EXPECT_THAT(refusal_of("{\"model\": {\"vocab\": {\"\xFF\": 0}}}"), HasSubstr("not a readable"));
}
TEST(TokenizerJson, NestedWithoutEnd) {
  EXPECT_THAT(refusal_of(std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "{\"model\":";
  EXPECT_THAT(refusal_of(text), HasSubstr("nested deeper"));
}

TEST(TokenizerJson, EveryTruncationIsRefused) {
  const std::string whole = make_byte_bpe(test::small_vocabulary())->to_tokenizer_json();
  for (size_t size = 0; size + 2 < whole.size(); size += 97) refusal_of(std::string_view(whole).substr(0, size));
}

TEST(TokenizerJson, OtherJsonIsRefused) {
  for (const char* text : {"null", "[]", "3", "{}", R"({"model": null})", R"({"model": []})",
                           R"({"model": {"vocab": {}}})", R"({"model": {"vocab": [], "merges": {}}})"})
    refusal_of(text);
}

}  // namespace
}  // namespace thinktune::text
