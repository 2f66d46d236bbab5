#include "text/jinja_lexer.h"

#include <algorithm>
#include <string_view>

#include "text/jinja_text.h"
#include "thinktune/core/error.h"

namespace thinktune::text::jinja {

void fail_at(int line, const std::string& message) {
  throw core::data_error(fmt::format("chat template, line {}: {}", line, message));
}

namespace {

// Line ends of every kind become \n, and one at the very end goes.
std::string normalized(const std::string& source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0; }
bool continues_name(char c) { return begins_name(c) || is_digit(c); }

// The escapes of a Python string; one that Python does not know stays as it is written.
class StringLiteral {
 public:
  StringLiteral(std::string_view quoted, int line) : text_(quoted), line_(line) {}

  std::string value() {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c != '\\' || at_ == text_.size()) {
        value_ += c;
      } else {
        escape(text_[at_++]);
      }
    }
    return std::move(value_);
  }

 private:
  void escape(char c) {
    static constexpr std::string_view kNames = "ntr\\'\"abfv", kValues = "\n\t\r\\'\"\a\b\f\v";
    if (c == '\n') return;  // a line that goes on
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      value_ += kValues[known];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      code(c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c <= '7') {
      char32_t octal = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '7'; ++i)
        octal = octal * 8 + static_cast<char32_t>(text_[at_++] - '0');
      append_utf8(value_, octal);
    } else if (c == 'N') {
      fail_at(line_, "the escape \\N{…} is not known");
    } else {
      value_ += '\\';
      value_ += c;
    }
  }

  void code(size_t num_digits) {
    char32_t value = 0;
    for (size_t i = 0; i < num_digits; ++i) {
      const char c = at_ < text_.size() ? text_[at_++] : '?';
      const int digit = is_digit(c)              ? c - '0'
                        : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                        : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                                 : -1;
      if (digit < 0) fail_at(line_, "a string's \\x, \\u or \\U needs 2, 4 or 8 hexadecimal digits");
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
      fail_at(line_, fmt::format("a string's escape U+{:X} is no character", static_cast<uint32_t>(value)));
    append_utf8(value_, value);
  }

  std::string_view text_;
  int line_;
  size_t at_ = 0;
  std::string value_;
};

class Lexer {
 public:
  explicit Lexer(const std::string& source) : source_(normalized(source)), text_(source_) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      const size_t begin = next_tag();
      if (begin == std::string_view::npos) {
        data(at_, text_.size());
        advance(text_.size());
        break;
      }
      tag(begin);
    }
    add(Token::Type::End, "");
    return std::move(tokens_);
  }

 private:
  void add(Token::Type type, std::string text) { tokens_.push_back({type, std::move(text), line_}); }
  void data(size_t begin, size_t end) {
    if (begin < end) add(Token::Type::Data, std::string(text_.substr(begin, end - begin)));
  }
  void advance(size_t to) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    if (to > at_) at_line_start_ = text_[to - 1] == '\n';
    at_ = to;
  }
  bool looking_at(size_t position, std::string_view what) const {
    return text_.compare(std::min(position, text_.size()), what.size(), what) == 0;
  }
  size_t behind_space(size_t position) const {
    while (position < text_.size()) {
      const Character c = character_at(text_, position);
      if (!is_space(c.code)) break;
      position += c.length;
    }
    return position;
  }

  size_t next_tag() const {
    for (size_t i = text_.find('{', at_); i != std::string_view::npos; i = text_.find('{', i + 1))
      if (i + 1 < text_.size() && (text_[i + 1] == '%' || text_[i + 1] == '{' || text_[i + 1] == '#')) return i;
    return std::string_view::npos;
  }

  char sign_at(size_t position) const {
    return position < text_.size() && (text_[position] == '-' || text_[position] == '+') ? text_[position] : 0;
  }

  // The text in front of a tag, shortened as the tag's sign and lstrip_blocks say.
  void data_before(size_t tag_begin, char sign, bool is_print) {
    size_t end = tag_begin;
    if (sign == '-') {
      end = at_ + strip_range(text_.substr(at_, tag_begin - at_), false, true, is_space).end;
    } else if (sign != '+' && !is_print) {
      const size_t newline = text_.substr(at_, tag_begin - at_).rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? at_ : at_ + newline + 1;
      if ((line_begin > at_ || at_line_start_) && behind_space(line_begin) >= tag_begin) end = line_begin;
    }
    data(at_, end);
    advance(tag_begin);
  }

  // Behind the end of a block or comment: "-" drops all white space, without a sign one newline goes (trim_blocks).
  void finish(size_t behind, char sign) {
    if (sign == '-') {
      behind = behind_space(behind);
    } else if (sign != '+' && looking_at(behind, "\n")) {
      ++behind;
    }
    advance(behind);
  }

  void tag(size_t begin) {
    const char kind = text_[begin + 1];
    const char sign = sign_at(begin + 2);
    data_before(begin, sign, kind == '{');
    const size_t inside = begin + 2 + (sign != 0);
    if (kind == '#') {
      const size_t end = text_.find("#}", inside);
      if (end == std::string_view::npos) fail_at(line_, "this comment does not end: no #} follows");
      finish(end + 2, end > inside ? sign_at(end - 1) : '\0');
    } else if (const size_t body = kind == '%' ? behind_raw_tag(inside, "raw") : 0; body != 0) {
      const char end_sign = text_[body - 3];  // "-%}"; "+%}" is none of raw's spellings
      advance(end_sign == '-' ? behind_space(body) : body);
      raw();
    } else {
      add(kind == '%' ? Token::Type::BlockBegin : Token::Type::PrintBegin, "");
      advance(inside);
      inside_tag(kind == '{');
    }
  }

  // Behind "raw %}" or "endraw %}" if that is what stands at `position`, else 0.
  size_t behind_raw_tag(size_t position, std::string_view word) const {
    position = behind_space(position);
    if (!looking_at(position, word)) return 0;
    position = behind_space(position + word.size());
    if (sign_at(position) == '-' || (word == "endraw" && sign_at(position) == '+')) ++position;
    return looking_at(position, "%}") ? position + 2 : 0;
  }

  void raw() {
    const int line = line_;
    for (size_t i = text_.find("{%", at_); i != std::string_view::npos; i = text_.find("{%", i + 1)) {
      const char sign = sign_at(i + 2);
      const size_t behind = behind_raw_tag(i + 2 + (sign != 0), "endraw");
      if (behind == 0) continue;
      data_before(i, sign, false);
      finish(behind, sign_at(behind - 3));
      return;
    }
    fail_at(line, "this {% raw %} does not end: no {% endraw %} follows");
  }

  void inside_tag(bool is_print) {
    const int line = line_;
    std::vector<char> open;
    while (true) {
      advance(behind_space(at_));
      if (at_ >= text_.size())
        fail_at(line, fmt::format("this tag does not end: no {} follows", is_print ? "}}" : "%}"));
      if (open.empty() && end_of_tag(is_print)) return;
      const char c = text_[at_];
      if (is_digit(c)) {
        number();
      } else if (begins_name(c)) {
        size_t end = at_;
        while (end < text_.size() && continues_name(text_[end])) ++end;
        take(Token::Type::Name, end);
      } else if (c == '"' || c == '\'') {
        string(c);
      } else {
        operation(open);
      }
    }
  }

  bool end_of_tag(bool is_print) {
    const char sign = sign_at(at_);
    const size_t end = at_ + (sign != 0);
    if (!looking_at(end, is_print ? "}}" : "%}") || (is_print && sign == '+')) return false;
    add(is_print ? Token::Type::PrintEnd : Token::Type::BlockEnd, "");
    if (is_print) {
      advance(sign == '-' ? behind_space(end + 2) : end + 2);
    } else {
      finish(end + 2, sign);
    }
    return true;
  }

  void take(Token::Type type, size_t end) {
    add(type, std::string(text_.substr(at_, end - at_)));
    advance(end);
  }

  size_t behind_digits(size_t i) const {
    while (i < text_.size() &&
           (is_digit(text_[i]) || (text_[i] == '_' && i + 1 < text_.size() && is_digit(text_[i + 1]))))
      ++i;
    return i;
  }

  void number() {
    const char base = at_ + 1 < text_.size() && text_[at_] == '0' ? static_cast<char>(text_[at_ + 1] | 0x20) : '0';
    if (base == 'x' || base == 'o' || base == 'b') {
      size_t end = at_ + 2;
      while (end < text_.size() && continues_name(text_[end])) ++end;
      return take(Token::Type::Integer, end);
    }
    size_t end = behind_digits(at_);
    bool is_float = false;
    // "a.0.5" is an index: no number with a point begins behind a point.
    const bool behind_point = at_ > 0 && text_[at_ - 1] == '.';
    if (!behind_point && end + 1 < text_.size() && text_[end] == '.' && is_digit(text_[end + 1])) {
      end = behind_digits(end + 1);
      is_float = true;
    }
    if (!behind_point && end < text_.size() && (text_[end] | 0x20) == 'e') {
      const size_t digits = end + 1 + (sign_at(end + 1) != 0);
      if (digits < text_.size() && is_digit(text_[digits])) {
        end = behind_digits(digits);
        is_float = true;
      }
    }
    if (!is_float && end - at_ > 1 && text_[at_] == '0' &&
        text_.substr(at_, end - at_).find_first_not_of("0_") != std::string_view::npos)
      fail_at(line_, "an integer does not begin with 0");
    take(is_float ? Token::Type::Float : Token::Type::Integer, end);
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail_at(line_, "this string does not end: its closing quote is missing");
    add(Token::Type::String, StringLiteral(text_.substr(at_ + 1, end - at_ - 1), line_).value());
    advance(end + 1);
  }

  void operation(std::vector<char>& open) {
    static constexpr std::string_view kDouble[] = {"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view op : kDouble)
      if (looking_at(at_, op)) return take(Token::Type::Operator, at_ + 2);
    const char c = text_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,").find(c) == std::string_view::npos)
      fail_at(line_,
              fmt::format("the character '{}' means nothing here", text_.substr(at_, character_at(text_, at_).length)));
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail_at(line_, fmt::format("'{}' closes nothing", c));
      if (open.back() != c) fail_at(line_, fmt::format("'{}' stands where '{}' was to come", c, open.back()));
      open.pop_back();
    }
    take(Token::Type::Operator, at_ + 1);
  }

  std::string source_;
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(const std::string& source) { return Lexer(source).run(); }

}  // namespace thinktune::text::jinja
