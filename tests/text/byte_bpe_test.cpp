#include "thinktune/text/byte_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "small_vocabulary.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"

namespace thinktune::text {
namespace {

using test::id_of;
using test::small_vocabulary;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The error of a spec that must be refused.
core::Error refusal(ByteBpeSpec spec) {
  try {
    make_byte_bpe(std::move(spec));
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::Data) << error.what();
    return error;
  }
  ADD_FAILURE() << "the spec was accepted";
  return core::internal_error("accepted");
}

std::vector<std::string> words(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::vector<std::string> texts;
  for (const TokenId id : ids) texts.push_back(tokenizer.decode({id}));
  return texts;
}

TEST(ByteBpe, EmptyTextHasNoTokens) {
  const auto tokenizer = make_byte_bpe(small_vocabulary());
  EXPECT_THAT(tokenizer->encode(""), IsEmpty());
  EXPECT_THAT(tokenizer->encode("", Special::Parse), IsEmpty());
  EXPECT_THAT(tokenizer->encode(std::vector<Segment>{}), IsEmpty());
  EXPECT_THAT(tokenizer->encode(std::vector<Segment>{{"", Special::AsText}, {"", Special::Parse}}), IsEmpty());
  EXPECT_EQ(tokenizer->decode({}), "");
}

TEST(ByteBpe, MergesBestFirstWithinWords) {
  const auto spec = small_vocabulary();
  const auto tokenizer = make_byte_bpe(spec);
  EXPECT_THAT(words(*tokenizer, tokenizer->encode("hello hello")), ElementsAre("hello", " hello"));
  EXPECT_THAT(words(*tokenizer, tokenizer->encode("aaa")), ElementsAre("aa", "a"));  // leftmost first
  EXPECT_THAT(words(*tokenizer, tokenizer->encode("aaaaaaa")), ElementsAre("aaaa", "aa", "a"));
  EXPECT_THAT(words(*tokenizer, tokenizer->encode("hell o")), ElementsAre("hell", " ", "o"));
  EXPECT_THAT(words(*tokenizer, tokenizer->encode("   a")), ElementsAre("  ", " ", "a"));
  EXPECT_EQ(tokenizer->token_text(id_of(spec, "hello")), "hello");
  EXPECT_EQ(tokenizer->vocab_size(), static_cast<int64_t>(spec.tokens.size()));
}

TEST(ByteBpe, SmollmSplitsDigitsApartAndGpt2DoesNot) {
  const auto smollm = make_byte_bpe(small_vocabulary("smollm"));
  const auto gpt2 = make_byte_bpe(small_vocabulary("gpt2"));
  EXPECT_THAT(words(*smollm, smollm->encode("12")), ElementsAre("1", "2"));
  EXPECT_THAT(words(*gpt2, gpt2->encode("12")), ElementsAre("12"));
  // Before a digit two spaces stay together in smollm: the digit is cut off first, so the stretch ends in white space.
  EXPECT_THAT(words(*smollm, smollm->encode("a  1")), ElementsAre("a", "  ", "1"));
  EXPECT_THAT(words(*gpt2, gpt2->encode("a  1")), ElementsAre("a", " ", " ", "1"));
}

TEST(ByteBpe, SpecialTokensOnlyWhereTheyAreParsed) {
  const auto spec = small_vocabulary();
  const auto tokenizer = make_byte_bpe(spec);
  const TokenId end = tokenizer->special_id("<|im_end|>");
  EXPECT_EQ(end, id_of(spec, "<|im_end|>"));
  EXPECT_EQ(tokenizer->special_id("hello"), -1);
  EXPECT_EQ(tokenizer->special_id("<|nothing|>"), -1);
  EXPECT_TRUE(tokenizer->is_special(end));
  EXPECT_FALSE(tokenizer->is_special(id_of(spec, "hello")));

  EXPECT_THAT(tokenizer->encode("<|im_end|>", Special::Parse), ElementsAre(end));
  const auto typed = tokenizer->encode("<|im_end|>");
  EXPECT_EQ(typed.size(), 10u);
  EXPECT_THAT(typed, testing::Not(testing::Contains(end)));
  EXPECT_EQ(tokenizer->decode(typed), "<|im_end|>");
  EXPECT_EQ(tokenizer->decode({end, id_of(spec, "hello"), end}), "<|im_end|>hello<|im_end|>");
  EXPECT_EQ(tokenizer->decode({end, id_of(spec, "hello"), end}, true), "hello");
}

TEST(ByteBpe, OrdinaryTokensCrossSegmentsAndSpecialOnesDoNot) {
  const auto spec = small_vocabulary();
  const auto tokenizer = make_byte_bpe(spec);
  const TokenId hello = id_of(spec, "hello");
  const TokenId end = tokenizer->special_id("<|im_end|>");
  using Segments = std::vector<Segment>;
  EXPECT_THAT(tokenizer->encode(Segments{{"he", Special::Parse}, {"ll", Special::AsText}, {"o", Special::Parse}}),
              ElementsAre(hello));
  EXPECT_THAT(tokenizer->encode(Segments{{"hello<|im_end|>", Special::Parse}, {"hello", Special::AsText}}),
              ElementsAre(hello, end, hello));
  for (const Segments& split : {Segments{{"<|im_", Special::Parse}, {"end|>", Special::Parse}},
                                Segments{{"<|im_end|", Special::Parse}, {">", Special::AsText}},
                                Segments{{"<|im_", Special::AsText}, {"end|>", Special::Parse}}})
    EXPECT_EQ(tokenizer->encode(split), tokenizer->encode("<|im_end|>"));
}

TEST(ByteBpe, LongestSpecialTokenWins) {
  auto spec = small_vocabulary();
  spec.tokens.insert(spec.tokens.end(), {"<|im_end|>!", "<"});
  spec.is_special.insert(spec.is_special.end(), {1, 1});
  spec.tokens.erase(spec.tokens.begin() + id_of(spec, "<"));  // the ordinary "<": now it is a special token alone
  spec.is_special.erase(spec.is_special.begin() + 3);
  const auto tokenizer = make_byte_bpe(spec);
  const TokenId longer = tokenizer->special_id("<|im_end|>!");
  const TokenId shorter = tokenizer->special_id("<|im_end|>");
  EXPECT_THAT(tokenizer->encode("<|im_end|>!<|im_end|><", Special::Parse),
              ElementsAre(longer, shorter, tokenizer->special_id("<")));
  EXPECT_THAT(tokenizer->encode("<"), IsEmpty());  // text never becomes a special token
}

TEST(ByteBpe, BytesWithoutTokenVanish) {
  auto spec = small_vocabulary();
  spec.tokens.push_back("!!");
  spec.is_special.push_back(0);
  spec.merges.push_back("! !");
  const auto tokenizer = make_byte_bpe(spec);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\x04z")), "az");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xFEz")), "az");
  EXPECT_THAT(tokenizer->encode("\x04"), IsEmpty());
  // Within a word the neighbours become neighbours of each other, as in the reference.
  EXPECT_THAT(words(*tokenizer, tokenizer->encode("!\x04!")), ElementsAre("!!"));
}

TEST(ByteBpe, AnyBytesComeBack) {
  const auto tokenizer = make_byte_bpe(small_vocabulary());
  for (const std::string& text :
       {std::string("\xFF"), std::string("\xC3"), std::string("ab\xE2\x82"), std::string("\xED\xA0\x80"),
        std::string("\xF4\x90\x80\x80"), std::string("\xC0\x80"), std::string("a\0b", 3)})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

// Random strings, half of them arbitrary bytes, half out of pieces that the pre-tokenizer and the special tokens care
// about.
std::string random_text(uint64_t number) {
  static const std::vector<std::string> pieces = {
      "hello",      " ",      "  ",     "\n",     "\t", "'s",   "'",        "12",
      "<|im_end|>", "<|im_",  "é",      "π",      "数", "🙂", "\xE2\x82", "\xFF",
      "\u0085",     "\u00a0", "\u3000", "\u180e", "½",  "٣",    "a\u0301",  std::string(1, '\0'),
      "\x04",       "\r\n"};
  const core::RandomKey key{.seed = 7, .stream = core::Stream::Generator, .prompt = number};
  uint32_t position = 0;
  const auto below = [&](uint64_t bound) { return core::random_below(key, position++, bound); };
  const bool is_bytes = below(2) == 0;
  std::string text;
  for (uint64_t length = below(40); length > 0; --length)
    text += is_bytes ? std::string(1, static_cast<char>(below(256))) : pieces[below(pieces.size())];
  return text;
}

TEST(ByteBpe, RandomTextsComeBackWithoutTheBytesThatHaveNoToken) {
  for (const char* pre_tokenizer : {"smollm", "gpt2"}) {
    const auto tokenizer = make_byte_bpe(small_vocabulary(pre_tokenizer));
    for (uint64_t i = 0; i < 4000; ++i) {
      const std::string text = random_text(i);
      std::string expected;
      for (const char c : text)
        if (!test::has_no_token(static_cast<unsigned char>(c))) expected.push_back(c);
      const auto ids = tokenizer->encode(text);
      ASSERT_EQ(tokenizer->decode(ids), expected) << i;
      for (const TokenId id : ids) ASSERT_FALSE(tokenizer->is_special(id)) << i;
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text, Special::Parse)), expected) << i;
      const size_t cut = text.size() / 2;
      ASSERT_EQ(tokenizer->encode(std::vector<Segment>{{text.substr(0, cut)}, {text.substr(cut)}}), ids) << i;
    }
  }
}

// Quadratic code would need minutes here; the bound is far from what a slow machine needs (0.1 s).
TEST(ByteBpe, LongWordsTakeLittleTime) {
  const auto tokenizer = make_byte_bpe(small_vocabulary());
  for (const std::string& piece :
       {std::string("a"), std::string("hello"), std::string(" "), std::string("\xFF"), std::string("<")}) {
    std::string text;
    while (text.size() < 200'000) text += piece;
    const auto start = std::chrono::steady_clock::now();
    const auto ids = tokenizer->encode(text, Special::Parse);
    const std::chrono::duration<double> elapsed_s = std::chrono::steady_clock::now() - start;
    EXPECT_LT(elapsed_s.count(), 5.0) << piece;
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

TEST(ByteBpe, ThreadsShareOneTokenizer) {
  const auto tokenizer = make_byte_bpe(small_vocabulary());
  std::vector<std::vector<TokenId>> expected;
  for (uint64_t i = 0; i < 200; ++i) expected.push_back(tokenizer->encode(random_text(i)));
  std::vector<int> num_wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& wrong : num_wrong)
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < 200; ++i) wrong += tokenizer->encode(random_text(i)) == expected[i] ? 0 : 1;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(num_wrong, testing::Each(0));
}

TEST(ByteBpeSpec, UnknownPreTokenizerNamesTheKnownOnes) {
  const auto error = refusal(small_vocabulary("unheard-of"));
  EXPECT_THAT(error.message(), HasSubstr("unheard-of"));
  EXPECT_THAT(error.hint(), testing::AllOf(HasSubstr("smollm"), HasSubstr("gpt2")));
}

TEST(ByteBpeSpec, SizesDiffer) {
  auto spec = small_vocabulary();
  spec.is_special.pop_back();
  EXPECT_THAT(refusal(spec).message(), HasSubstr("marks for special"));
}

TEST(ByteBpeSpec, TokenTwice) {
  auto spec = small_vocabulary();
  spec.tokens.back() = "hello";
  EXPECT_THAT(refusal(spec).message(), HasSubstr("\"hello\" twice"));
}

TEST(ByteBpeSpec, TokenEmptyOrNotUtf8) {
  auto spec = small_vocabulary();
  spec.tokens[5] = "";
  EXPECT_THAT(refusal(spec).message(), HasSubstr("token 5 is empty"));
  spec.tokens[5] = "\xC4";
  EXPECT_THAT(refusal(spec).message(), HasSubstr("token 5 is not valid UTF-8"));
}

TEST(ByteBpeSpec, MergeOfUnknownToken) {
  for (const char* merge : {"xy z", "z xy", "x y"}) {  // the left part, the right part, the result
    auto spec = small_vocabulary();
    spec.merges.push_back(merge);
    const auto error = refusal(spec);
    EXPECT_THAT(error.message(), testing::AllOf(HasSubstr("merge 9"), HasSubstr("not in the vocabulary"))) << merge;
  }
}

TEST(ByteBpeSpec, MergeMalformed) {
  for (const char* merge : {"", "a", " a", "a ", "a a a", "a  a"}) {
    auto spec = small_vocabulary();
    spec.merges.push_back(merge);
    EXPECT_THAT(refusal(spec).message(), HasSubstr("not two tokens")) << merge;
  }
}

TEST(ByteBpeSpec, MergeTwice) {
  auto spec = small_vocabulary();
  spec.merges.push_back("a a");
  EXPECT_THAT(refusal(spec).message(), HasSubstr("is there twice"));
}

TEST(ByteBpeSpec, MergeThatMakesASpecialToken) {
  auto spec = small_vocabulary();
  spec.tokens.push_back("ab");
  spec.is_special.push_back(1);
  spec.merges.push_back("a b");
  EXPECT_THAT(refusal(spec).message(), HasSubstr("special token \"ab\""));
}

}  // namespace
}  // namespace thinktune::text
