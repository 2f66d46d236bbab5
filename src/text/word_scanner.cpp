#include "text/word_scanner.h"

#include <array>

#include "text/unicode.h"
#include "text/utf8.h"

namespace thinktune::text {
namespace {

constexpr uint8_t kEnd = 0;  // the kind of what is no character: the text's end, a byte that is not UTF-8

struct Character {
  uint8_t kind;
  uint8_t length;
};

// Made when the first text is split, not at every start of a program.
const std::array<uint8_t, 128>& ascii_kinds() {
  static const auto kinds = [] {
    std::array<uint8_t, 128> all;
    for (size_t c = 0; c < all.size(); ++c) all[c] = kind_of(static_cast<char32_t>(c));
    return all;
  }();
  return kinds;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text)
      : begin_(text.data()), end_(begin_ + text.size()), ascii_kinds_(ascii_kinds()) {}

  size_t gpt2(bool digits_apart) const;
  size_t cl100k(int max_digits) const;

 private:
  Character at(const char* p) const {
    if (p == end_) return {kEnd, 0};
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) return {ascii_kinds_[byte], 1};
    const size_t length = utf8_character_length({p, static_cast<size_t>(end_ - p)});
    if (length == 0) return {kEnd, 1};
    return {kind_of(utf8_code_point(p, length)), static_cast<uint8_t>(length)};
  }

  // Past the characters of these kinds.
  const char* skip(const char* p, uint8_t kinds) const {
    for (Character c = at(p); (c.kind & kinds) != 0; c = at(p)) p += c.length;
    return p;
  }

  size_t size_to(const char* p) const { return static_cast<size_t>(p - begin_); }
  size_t contraction(bool any_case) const;
  size_t spaces(bool digits_end_the_text, bool stop_after_newline) const;

  const char* begin_;
  const char* end_;
  const std::array<uint8_t, 128>& ascii_kinds_;
};

// 's 't 're 've 'm 'll 'd at the start, or 0.
size_t Scanner::contraction(bool any_case) const {
  if (*begin_ != '\'' || end_ - begin_ < 2) return 0;
  const auto letter = [&](size_t i) {
    const char c = begin_ + i < end_ ? begin_[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1), second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  // The long s, U+017F, is an s where case does not count.
  if (any_case && end_ - begin_ >= 3 && begin_[1] == '\xC5' && begin_[2] == '\xBF') return 3;
  return 0;
}

// \s*[\r\n]+ (with `stop_after_newline`), then \s+(?!\S), then \s+: white space at the start, in which the last
// character is left for the word that follows.
size_t Scanner::spaces(bool digits_end_the_text, bool stop_after_newline) const {
  const char* p = begin_;
  const char* last = begin_;
  const char* after_newline = nullptr;
  Character c = at(p);
  for (; (c.kind & kSpace) != 0; c = at(p)) {
    last = p;
    p += c.length;
    if ((c.kind & kNewline) != 0) after_newline = p;
  }
  if (stop_after_newline && after_newline != nullptr) return size_to(after_newline);
  const bool at_end = c.kind == kEnd || (digits_end_the_text && (c.kind & kNumber) != 0);
  return size_to(at_end || last == begin_ ? p : last);
}

size_t Scanner::gpt2(bool digits_apart) const {
  const Character first = at(begin_);
  if (first.kind == kEnd) return first.length;
  if (digits_apart && (first.kind & kNumber) != 0) return first.length;
  if (const size_t size = contraction(false); size > 0) return size;
  const bool has_space = *begin_ == ' ';
  const char* p = begin_ + (has_space ? 1 : 0);
  const uint8_t kind = has_space ? at(p).kind : first.kind;
  const uint8_t word_kind = kind & (digits_apart ? kLetter | kOther : kLetter | kNumber | kOther);
  return word_kind != 0 ? size_to(skip(p, word_kind)) : spaces(digits_apart, false);
}

size_t Scanner::cl100k(int max_digits) const {
  const Character first = at(begin_);
  if (first.kind == kEnd) return first.length;
  if (const size_t size = contraction(true); size > 0) return size;
  const char* p = begin_ + first.length;
  if ((first.kind & kLetter) != 0) return size_to(skip(p, kLetter));
  if ((first.kind & kNumber) != 0) {
    for (Character c = at(p); --max_digits > 0 && (c.kind & kNumber) != 0; c = at(p)) p += c.length;
    return size_to(p);
  }
  const uint8_t second = at(p).kind;
  if ((first.kind & kNewline) == 0 && (second & kLetter) != 0) return size_to(skip(p, kLetter));
  if ((first.kind & kOther) != 0 || (*begin_ == ' ' && (second & kOther) != 0))
    return size_to(skip(skip(p, kOther), kNewline));
  return spaces(false, true);
}

}  // namespace

std::optional<WordPattern> pattern_of_regex(std::string_view regex) {
  // Another writing of GPT-2's, as `tokenizers` has it in its source.
  constexpr std::string_view kGpt2Short = R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  if (regex == kGpt2Regex || regex == kGpt2Short) return WordPattern::Gpt2;
  if (regex == kCl100kRegex) return WordPattern::Cl100k;
  if (regex == kQwen2Regex) return WordPattern::Qwen2;
  return std::nullopt;
}

size_t first_word(WordPattern pattern, std::string_view text) {
  const Scanner scanner(text);
  switch (pattern) {
    case WordPattern::Gpt2:
      return scanner.gpt2(false);
    case WordPattern::Gpt2DigitsApart:
      return scanner.gpt2(true);
    case WordPattern::Cl100k:
      return scanner.cl100k(3);
    case WordPattern::Qwen2:
      return scanner.cl100k(1);
  }
  return 1;
}

}  // namespace thinktune::text
