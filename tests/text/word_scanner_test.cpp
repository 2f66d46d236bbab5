#include "src/text/word_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/text/regex.h"
#include "src/text/unicode.h"
#include "src/text/utf8.h"
#include "support/errors.h"
#include "thinktune/core/error.h"
#include "thinktune/core/random.h"

namespace thinktune::text {
namespace {

std::vector<std::string> words_of(WordPattern pattern, std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t size = first_word(pattern, text);
    words.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return words;
}

std::vector<std::string> matches_of(const Regex& regex, std::string_view text) {
  std::vector<Regex::Match> matches;
  regex.find_all(text, matches);
  std::vector<std::string> words;
  for (const auto& match : matches) words.emplace_back(text.substr(match.begin, match.end - match.begin));
  return words;
}

// Characters next to each other that the patterns tell apart, and some that they must not.
std::string random_text(uint64_t seed) {
  static const std::vector<std::string> pieces = {
      " ", " ",       "  ", "\n", "\r", "\t",     "a",      "B",      "'",      "'s",     "'T",     "'ll", "'Re", "'ſ",
      "1", "23",      ".",  "!?", "é",  "日",     "ａ",     "\u00A0", "\u3000", "\u2028", "\u180E", "²",   "Ⅷ",   "१",
      "👍", "e\u0301", "_",  "-",  "'v", "\u0085", "\u200D", "İ",      "ß",      "/",      "don't",  "x1",  "\x01"};
  const core::RandomKey key = {.seed = seed, .stream = core::Stream::DataOrder};
  uint32_t position = 0;
  std::string text;
  for (uint64_t length = core::random_below(key, position++, 24); length > 0; --length)
    text += pieces[core::random_below(key, position++, pieces.size())];
  return text;
}

TEST(WordScanner, EqualsTheRegularExpressions) {
  for (const std::string_view pattern : {kGpt2Regex, kCl100kRegex, kQwen2Regex}) {
    const Regex regex(pattern, "test");
    const auto scanner = pattern_of_regex(pattern);
    ASSERT_TRUE(scanner.has_value());
    for (uint64_t i = 0; i < 20'000; ++i) {
      const std::string text = random_text(i);
      ASSERT_EQ(words_of(*scanner, text), matches_of(regex, text)) << pattern << " on " << text;
    }
  }
}

TEST(WordScanner, DigitsApartAreCutOutFirst) {
  const Regex regex(kGpt2Regex, "test"), digits(R"(\p{N})", "test");
  for (uint64_t i = 0; i < 20'000; ++i) {
    const std::string text = random_text(i);
    std::vector<Regex::Match> numbers;
    digits.find_all(text, numbers);
    numbers.push_back({text.size(), text.size()});
    std::vector<std::string> expected;
    size_t from = 0;
    for (const auto& number : numbers) {
      for (auto& word : matches_of(regex, std::string_view(text).substr(from, number.begin - from)))
        expected.push_back(std::move(word));
      if (number.end > number.begin) expected.push_back(text.substr(number.begin, number.end - number.begin));
      from = number.end;
    }
    ASSERT_EQ(words_of(WordPattern::Gpt2DigitsApart, text), expected) << text;
  }
}

// utf8proc's tables and PCRE2's may be of different versions of Unicode; what both know they must see alike.
TEST(WordScanner, KindsAreThoseOfTheRegularExpressions) {
  const Regex letter(R"(\p{L})", "test"), number(R"(\p{N})", "test"), space(R"(\s)", "test");
  int num_different = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(c, text);
    std::vector<Regex::Match> matches;
    const auto is = [&](const Regex& regex) {
      regex.find_all(text, matches);
      return !matches.empty();
    };
    const uint8_t kind = kind_of(c);
    ASSERT_EQ((kind & kSpace) != 0, is(space)) << std::hex << static_cast<uint32_t>(c);
    num_different += ((kind & kLetter) != 0) != is(letter) || ((kind & kNumber) != 0) != is(number);
  }
  EXPECT_LT(num_different, 6000);  // Unicode 15 has 4,192 more ideographs than 14
}

TEST(WordScanner, BytesThatAreNoTextAreWords) {
  using testing::ElementsAre;
  EXPECT_THAT(words_of(WordPattern::Gpt2, "ab\xFF\xFE c"), ElementsAre("ab", "\xFF", "\xFE", " c"));
  EXPECT_THAT(words_of(WordPattern::Cl100k, "  \xFF"), ElementsAre("  ", "\xFF"));
  EXPECT_THAT(words_of(WordPattern::Cl100k, "a\xE2\x82"), ElementsAre("a", "\xE2", "\x82"));
}

std::string refusal(const std::string& pattern) {
  return test::message_of_error(core::ErrorKind::Data, [&] { Regex(pattern, "some.json"); });
}

TEST(Regex, ReadsRubysSyntax) {
  EXPECT_EQ(
      to_pcre2(R"([^\s\d]+(a)\u00e9\w\p{Han}\[)", "x"),
      R"([^\p{White_Space}\p{Nd}]+(?:a)\x{00e9}[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}]\p{Han}\[)");
  EXPECT_EQ(matches_of(Regex("^b|c$", "x"), "b\nbc\nc"), (std::vector<std::string>{"b", "b", "c", "c"}));
  EXPECT_EQ(matches_of(Regex(R"(\s)", "x"), "\u180E\u0085"), (std::vector<std::string>{"\u0085"}));
}

TEST(Regex, RefusesWhatItWouldReadOtherwise) {
  using testing::HasSubstr;
  for (const auto& [pattern, why] :
       std::vector<std::pair<std::string, std::string>>{{"[a&&b]", "intersection"},
                                                        {"[a[b]]", "class within"},
                                                        {"a{1,2}+", "\"+\" after"},
                                                        {R"(\h)", "\\h"},
                                                        {R"((a)\1)", "\\1"},
                                                        {"(?<n>a)", "the group"},
                                                        {R"(\b)", "\\b"},
                                                        {R"(\xE9)", "7F"},
                                                        {"(*UTF)", "the group"},
                                                        {R"(\pL)", "property"},
                                                        {R"([\W])", "\\W"},
                                                        {"a\\", "backslash"},
                                                        {R"(\u12)", "four digits"},
                                                        {"(a", "cannot be compiled"},
                                                        {"[", "cannot be compiled"},
                                                        {R"(\p{No Such})", "cannot be compiled"},
                                                        {std::string(70000, 'a'), "64 KiB"}})
    EXPECT_THAT(refusal(pattern), testing::AllOf(HasSubstr(why), HasSubstr("some.json"))) << pattern.substr(0, 20);
}

TEST(Regex, EndlessSearchesAreErrors) {
  const Regex regex("(?:a|a)+[bd]", "some.json");
  std::vector<Regex::Match> matches;
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { regex.find_all(std::string(60, 'a'), matches); }),
              testing::HasSubstr("too much for"));
}

TEST(NormalForms, LongRunsOfMarksTakeLittleTime) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0327";
  const std::string form = to_normal_form(text, NormalForm::Nfd);
  EXPECT_EQ(form.size(), text.size());
  EXPECT_EQ(form.substr(1, 2), "\u0327");  // the lower class first
  EXPECT_EQ(to_normal_form("e\u0301 ﬁ", NormalForm::Nfc), "é ﬁ");
  EXPECT_EQ(to_normal_form("e\u0301 ﬁ", NormalForm::Nfkc), "é fi");
}

}  // namespace
}  // namespace thinktune::text
