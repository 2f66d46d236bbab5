// What holds for tokenizers of every kind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "small_tokenizers.h"
#include "src/text/utf8.h"
#include "support/errors.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/text/stream_decoder.h"

namespace thinktune::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string random_text(uint64_t seed, bool is_utf8) {
  static const std::vector<std::string> pieces = {"hello", " ",    "  ", "\n",         "a",  "aa",
                                                  "é",     "日",   "👍",  "▁",          "12", "'s",
                                                  "<s>",   "</s>", ".",  "<|im_end|>", "\t", "[TOOL]"};
  const core::RandomKey key = {.seed = seed, .stream = core::Stream::DataOrder};
  uint32_t position = 0;
  std::string text;
  for (uint64_t length = core::random_below(key, position++, 30); length > 0; --length)
    text += is_utf8 ? pieces[core::random_below(key, position++, pieces.size())]
                    : std::string(1, static_cast<char>(core::random_below(key, position++, 256)));
  return text;
}

TEST(Tokenizers, ByteLevelOnesGiveAnyBytesBack) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers()) {
    if (!keeps_bytes) continue;
    for (uint64_t i = 0; i < 600; ++i) {
      const std::string text = random_text(i, i % 2 == 0);
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << name << " " << i;
    }
  }
}

TEST(Tokenizers, PiecesGiveTextsBack) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers()) {
    if (keeps_bytes || name == "t5 without extra spaces") continue;
    for (const char* text : {"hello hello", "é日 👍\n<0x41>", "a", "aahello aa"}) {
      // "always" has its space there still: its decoder takes none away.
      const std::string expected = name == "marks always" || name == "marks first" ? " " + std::string(text) : text;
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), expected) << name;
      EXPECT_THAT(tokenizer->decode(tokenizer->encode_continuation(text)), text) << name;
    }
  }
}

TEST(Tokenizers, TypedSpecialTokensAreText) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers())
    for (uint64_t i = 0; i < 300; ++i)
      for (const TokenId id : tokenizer->encode(random_text(i, true))) ASSERT_FALSE(tokenizer->is_special(id)) << name;
}

TEST(Tokenizers, StreamsAreDecodedWholeCharacterByCharacter) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers())
    for (uint64_t i = 0; i < 200; ++i)
      for (const bool skip : {false, true}) {
        const auto ids = tokenizer->encode(random_text(i, true), Special::Parse);
        StreamDecoder stream(*tokenizer, skip);
        std::string streamed;
        for (const TokenId id : ids) {
          const std::string part = stream.push(id);
          ASSERT_EQ(utf8_valid_length(part), part.size()) << name << ": half a character";
          streamed += part;
        }
        ASSERT_EQ(stream.finish(), "") << name;
        ASSERT_EQ(streamed, tokenizer->decode(ids, skip)) << name << " " << i;
      }
}

TEST(StreamDecoder, BytesThatAreNoCharacterComeAsTheyAre) {
  const auto tokenizer = tokenizer_from_tekken(test::small_tekken_json().dump(), "x");
  const auto id_of = [](unsigned char byte) { return static_cast<TokenId>(5 + byte); };
  StreamDecoder stream(*tokenizer);
  EXPECT_EQ(stream.push(id_of(0xE6)), "");
  EXPECT_EQ(stream.push(id_of(0x97)), "");
  EXPECT_EQ(stream.push(id_of(0xA5)), "日");
  EXPECT_EQ(stream.push(id_of(0xFF)), "\xFF");  // never part of a character
  EXPECT_EQ(stream.push(id_of(0xC3)), "");
  EXPECT_EQ(stream.push(id_of('a')),
            "\xC3"
            "a");  // the character did not go on
  EXPECT_EQ(stream.push(id_of(0xED)), "");
  EXPECT_EQ(stream.push(id_of(0xA0)), "\xED\xA0");  // a surrogate: no byte makes a character of it
  EXPECT_EQ(stream.push(id_of(0xF0)), "");
  EXPECT_EQ(stream.push(id_of(0x9F)), "");
  EXPECT_EQ(stream.finish(), "\xF0\x9F");
  EXPECT_EQ(stream.push(id_of('b')), "b");
}

TEST(Tokenizers, NothingIsNothing) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers()) {
    EXPECT_THAT(tokenizer->encode(""), IsEmpty()) << name;
    EXPECT_THAT(tokenizer->encode_continuation(""), IsEmpty()) << name;
    EXPECT_THAT(tokenizer->encode({{"", Special::Parse}, {"", Special::AsText}}), IsEmpty()) << name;
    EXPECT_EQ(tokenizer->decode({}), "") << name;
  }
}

// A model may have more rows than there are tokens, and draw one of them.
TEST(Tokenizers, IdsBehindTheVocabularyStandForNothing) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers()) {
    const auto behind = static_cast<TokenId>(tokenizer->vocab_size());
    std::vector<TokenId> ids = tokenizer->encode("ab ba");
    const std::string text = tokenizer->decode(ids);
    ids.insert(ids.begin() + 1, behind);
    ids.push_back(behind + 1000);
    EXPECT_EQ(tokenizer->decode(ids), text) << name;
    EXPECT_EQ(tokenizer->token_bytes(behind), "") << name;
    EXPECT_FALSE(tokenizer->is_special(behind)) << name;
  }
}

TEST(Tokenizers, OtherwiseIdsOutsideTheVocabularyAreABug) {
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers()) {
    EXPECT_THROW(tokenizer->decode({-1}), core::Error) << name;
    EXPECT_THROW(tokenizer->token_bytes(-1), core::Error) << name;
    EXPECT_THROW(tokenizer->is_special(-1), core::Error) << name;
    for (const TokenId id : {-1, static_cast<TokenId>(tokenizer->vocab_size())})
      EXPECT_THROW(tokenizer->token_text(id), core::Error) << name;
  }
}

TEST(Tokenizers, ThreadsShareThem) {
  const auto all = test::small_tokenizers();
  const auto ids_of_all = [&] {
    std::vector<std::vector<TokenId>> ids;
    for (const auto& one : all)
      for (uint64_t i = 0; i < 50; ++i) ids.push_back(one.tokenizer->encode(random_text(i, true), Special::Parse));
    return ids;
  };
  const auto expected = ids_of_all();
  std::vector<int> equal(4, 0);
  std::vector<std::thread> threads;
  for (int& e : equal) threads.emplace_back([&] { e = ids_of_all() == expected; });
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(equal, testing::Each(1));
}

double encode_seconds(const Tokenizer& tokenizer, const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  tokenizer.encode(text, Special::Parse);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Sixteen times the length: linear code takes sixteen times as long, a heap out of cache two or three times that, and
// quadratic code 256 times.
TEST(Tokenizers, LongWordsTakeLinearTime) {
  const core::RandomKey key = {.seed = 7, .stream = core::Stream::DataOrder};
  std::string letters, accents;
  for (uint32_t i = 0; i < 62'500; ++i) letters.push_back(static_cast<char>('a' + core::random_below(key, i, 16)));
  for (int i = 0; i < 31'250; ++i) accents += i % 2 == 0 ? "\u0301" : "\u0327";
  const std::set<std::string> kinds = {"llama-bpe", "tekken.json", "deepseek-v3", "marks first", "llama", "t5"};
  for (const auto& [name, tokenizer, keeps_bytes] : test::small_tokenizers()) {
    if (!kinds.contains(name)) continue;
    for (const std::string& word : {std::string(62'500, 'a'), letters, std::string(62'500, ' '), accents}) {
      double once_s = 1e9;
      for (int i = 0; i < 3; ++i) once_s = std::min(once_s, encode_seconds(*tokenizer, word));
      std::string long_word;
      for (int i = 0; i < 16; ++i) long_word += word;
      EXPECT_LT(encode_seconds(*tokenizer, long_word), 100 * once_s + 0.1) << name << " on " << word.substr(0, 4);
    }
  }
}

TEST(TekkenTokenizer, ReadsRanksAndSpecialTokens) {
  const auto tokenizer = tokenizer_from_tekken(test::small_tekken_json().dump(), "tekken.json");
  EXPECT_EQ(tokenizer->vocab_size(), 5 + 256 + 8);
  EXPECT_EQ(tokenizer->special_id("</s>"), 2);
  EXPECT_EQ(tokenizer->special_id("<SPECIAL_4>"), 4);
  EXPECT_THAT(tokenizer->add_special_tokens({7}), ElementsAre(1, 7));
  EXPECT_THAT(tokenizer->encode("<s>hello hello", Special::Parse), ElementsAre(1, 5 + 260, 5 + 261));
  // Pairs of the same result are of the same rank: the leftmost goes first.
  EXPECT_THAT(tokenizer->encode("aaaa"), ElementsAre(5 + 258, 5 + 258));
}

std::string tekken_refusal(const std::function<void(nlohmann::json&)>& change) {
  auto root = test::small_tekken_json();
  change(root);
  const std::string message =
      test::message_of_error(core::ErrorKind::Data, [&] { tokenizer_from_tekken(root.dump(), "some/tekken.json"); });
  EXPECT_THAT(message, HasSubstr("some/tekken.json"));
  return message;
}

using nlohmann::json;

TEST(TekkenTokenizer, RankMissing) {
  EXPECT_THAT(tekken_refusal([](json& r) { r["vocab"].erase(7); }), HasSubstr("default_vocab_size"));
  EXPECT_THAT(tekken_refusal([](json& r) { r["vocab"][7]["rank"] = 8; }), HasSubstr("has the rank 8"));
}
TEST(TekkenTokenizer, BytesThatAreNoBase64) {
  EXPECT_THAT(tekken_refusal([](json& r) { r["vocab"][7]["token_bytes"] = "@@@@"; }), HasSubstr("no base64"));
}
TEST(TekkenTokenizer, BytesTwice) {
  EXPECT_THAT(tekken_refusal([](json& r) { r["vocab"][7]["token_bytes"] = r["vocab"][8]["token_bytes"]; }),
              HasSubstr("twice"));
}
TEST(TekkenTokenizer, BytesEmptyOrEndless) {
  EXPECT_THAT(tekken_refusal([](json& r) { r["vocab"][7]["token_bytes"] = ""; }), HasSubstr("is empty"));
  EXPECT_THAT(tekken_refusal([](json& r) { r["vocab"][7]["token_bytes"] = std::string(4000, 'A'); }),
              HasSubstr("3000 bytes"));
}
TEST(TekkenTokenizer, SizesThatContradict) {
  EXPECT_THAT(tekken_refusal([](json& r) { r["config"]["default_vocab_size"] = int64_t{1} << 60; }),
              HasSubstr("default_vocab_size"));
  EXPECT_THAT(tekken_refusal([](json& r) { r["config"]["default_num_special_tokens"] = -1; }),
              HasSubstr("default_num_special_tokens"));
  EXPECT_THAT(tekken_refusal([](json& r) {
                r["config"]["default_num_special_tokens"] = 1;
                r["config"]["default_vocab_size"] = 200;
              }),
              HasSubstr("room for 1"));
}
TEST(TekkenTokenizer, PatternMissingOrUnreadable) {
  EXPECT_THAT(tekken_refusal([](json& r) { r["config"].erase("pattern"); }), HasSubstr("pattern"));
  EXPECT_THAT(tekken_refusal([](json& r) { r["config"]["pattern"] = "("; }), HasSubstr("cannot be compiled"));
}
TEST(TekkenTokenizer, NotJson) {
  EXPECT_THROW(tokenizer_from_tekken("{\"config\":", "x"), core::Error);
  EXPECT_THROW(tokenizer_from_tekken("[]", "x"), core::Error);
}

std::string tiktoken_refusal(const std::string& content) {
  const std::string message =
      test::message_of_error(core::ErrorKind::Data, [&] { tokenizer_from_tiktoken(content, "some/tokenizer.model"); });
  EXPECT_THAT(message, HasSubstr("some/tokenizer.model"));
  return message;
}

TEST(TiktokenTokenizer, RefusesDamagedFiles) {
  EXPECT_THAT(tiktoken_refusal("YQ== 0\n@@ 1\n"), HasSubstr("line 2"));
  EXPECT_THAT(tiktoken_refusal("YQ== 0\nYg==\n"), HasSubstr("line 2"));
  EXPECT_THAT(tiktoken_refusal("YQ== 0\nYg== 2\n"), HasSubstr("ranks go up by one"));
  EXPECT_THAT(tiktoken_refusal("YQ== 0\nYg== x\n"), HasSubstr("ranks go up by one"));
  EXPECT_THAT(tiktoken_refusal("YQ== 0\nYQ== 1\n"), HasSubstr("twice"));
  EXPECT_THAT(tiktoken_refusal(" 0\n"), HasSubstr("is empty"));
}
TEST(TiktokenTokenizer, RefusesOtherModels) {
  EXPECT_THAT(tiktoken_refusal("YQ== 0\r\nYg== 1\r\n"), HasSubstr("2 tokens"));
  EXPECT_THAT(tiktoken_refusal(""), HasSubstr("0 tokens"));
}

}  // namespace
}  // namespace thinktune::text
