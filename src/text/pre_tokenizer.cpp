#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string pcre2_reason(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

}  // namespace

const std::vector<PreTokenizerKind>& pre_tokenizer_kinds() {
  // White space is spelled out (Unicode's White_Space): PCRE2's own \s also holds U+180E, which the reference takes for
  // a symbol.
  static const std::string space =
      R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
  // GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  static const std::string words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^)" + space + R"(\p{L}\p{N}]+|)";
  // The reference of "smollm" cuts the digits out first and runs GPT-2's pattern on each stretch between them. One
  // pattern does both: a digit takes no leading space, and for the look-ahead a digit is the end of the stretch.
  static const std::vector<PreTokenizerKind> kinds = {
      {"smollm", true, R"(\p{N}|)" + words + "[" + space + "]+(?![^" + space + R"(\p{N}])|[)" + space + "]+"},
      {"gpt2", false, words + R"( ?\p{N}+|[)" + space + "]+(?![^" + space + "])|[" + space + "]+"},
  };
  return kinds;
}

const PreTokenizerKind& pre_tokenizer_kind(std::string_view name) {
  std::string known;
  for (const PreTokenizerKind& kind : pre_tokenizer_kinds()) {
    if (kind.name == name) return kind;
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", kind.name);
  }
  throw core::data_error(fmt::format("the tokenizer's pre-tokenizer \"{}\" is not known", name),
                         fmt::format("known are {}", known));
}

struct PreTokenizer::Pattern {
  pcre2_code* code = nullptr;

  explicit Pattern(std::string_view pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr);
    TT_CHECK(code != nullptr, "pattern, at {}: {}", offset, pcre2_reason(error));
    // A PCRE2 built without JIT says so here and matches by its interpreter: the same words, only slower.
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  ~Pattern() { pcre2_code_free(code); }

  // `text` is well-formed UTF-8. Each alternative of the patterns takes at least one character and together they take
  // any.
  void split(std::string_view text, pcre2_match_data* match, std::vector<std::string_view>& words) const {
    while (!text.empty()) {
      // The text was checked already: a check in each call would make the time quadratic.
      const int result = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                     PCRE2_NO_UTF_CHECK, match, nullptr);
      TT_CHECK(result > 0, "no word at the start of the text: {}", pcre2_reason(result));
      const size_t end = pcre2_get_ovector_pointer(match)[1];
      TT_CHECK(end > 0 && end <= text.size(), "a word of {} bytes in a text of {}", end, text.size());
      words.push_back(text.substr(0, end));
      text.remove_prefix(end);
    }
  }
};

PreTokenizer::PreTokenizer(const PreTokenizerKind& kind) : pattern_(std::make_shared<const Pattern>(kind.pattern)) {}

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> match(pcre2_match_data_create(1, nullptr));
  TT_CHECK(match != nullptr, "no memory for a match");
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t valid = utf8_valid_length(text);
    pattern_->split(text.substr(0, valid), match.get(), words);
    text.remove_prefix(valid);
    while (!text.empty() && utf8_character_length(text) == 0) {
      words.push_back(text.substr(0, 1));
      text.remove_prefix(1);
    }
  }
  return words;
}

}  // namespace thinktune::text
