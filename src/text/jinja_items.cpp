#include "text/jinja_items.h"

#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

using Kind = JinjaItem::Kind;

constexpr std::string_view kSpace = " \t\n\r\f\v";

struct Word {
  enum class Kind { Name, String, Operator };
  Kind kind;
  std::string text;  // a string's value, without quotes
};

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool is_name(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  for (const char c : text)
    if (!is_name_character(c)) return false;
  return true;
}

// Jinja reads \r\n and \r as \n, and drops one newline at the end.
std::string normalise_newlines(const std::string& source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text.push_back(source[i]);
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      text.push_back('\n');
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// m['role'] is m.role; then the words with single spaces, strings in double quotes, attributes close to their owner.
std::string canonical(const std::vector<Word>& words) {
  std::string text;
  const auto is = [&](size_t i, std::string_view op) {
    return i < words.size() && words[i].kind == Word::Kind::Operator && words[i].text == op;
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const bool has_owner = i > 0 && (words[i - 1].kind == Word::Kind::Name || is(i - 1, "]"));
    if (has_owner && is(i, "[") && is(i + 2, "]") && words[i + 1].kind == Word::Kind::String &&
        is_name(words[i + 1].text)) {
      text += "." + words[i + 1].text;
      i += 2;
    } else if (has_owner && is(i, ".") && i + 1 < words.size() && is_name(words[i + 1].text)) {
      text += "." + words[++i].text;
    } else {
      if (!text.empty()) text += ' ';
      text += words[i].kind == Word::Kind::String ? fmt::format("\"{}\"", words[i].text) : words[i].text;
    }
  }
  return text;
}

class Reader {
 public:
  explicit Reader(const std::string& source) : source_(normalise_newlines(source)) {}

  std::vector<JinjaItem> read() {
    while (true) {
      const size_t open = find_tag();
      std::string data = source_.substr(position_, open - position_);
      if (open == std::string::npos) {
        print(data);
        return std::move(items_);
      }
      strip_before_tag(data, open);
      print(data);
      position_ = open + 2;
      const char type = source_[open + 1];
      if (position_ < source_.size() && (source_[position_] == '-' || (type != '{' && source_[position_] == '+')))
        ++position_;
      if (type == '#') {
        position_ = source_.find("#}", position_);
        if (position_ == std::string::npos) throw unfinished("comment", open);
        end_tag(type);
      } else if (type == '{') {
        print_expression(read_words(type, open));
      } else {
        items_.push_back({Kind::Tag, canonical(read_words(type, open))});
      }
    }
  }

 private:
  core::Error unfinished(std::string_view what, size_t start) const {
    return core::data_error(
        fmt::format("the chat template has a {} that does not end: {}", what, source_.substr(start, 60)),
        "fetch the model's files again; one may have been cut off");
  }

  size_t find_tag() const {
    for (size_t i = position_; (i = source_.find('{', i)) != std::string::npos && i + 1 < source_.size(); ++i)
      if (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#') return i;
    return std::string::npos;
  }

  // "-" takes all white space before the tag; without it, lstrip_blocks takes what stands before a block at the start
  // of a line.
  void strip_before_tag(std::string& data, size_t open) const {
    const char sign = open + 2 < source_.size() ? source_[open + 2] : ' ';
    const bool is_block = source_[open + 1] != '{';
    if (sign == '-') {
      data.erase(data.find_last_not_of(kSpace) + 1);
    } else if (is_block && sign != '+') {
      const size_t newline = data.rfind('\n');
      const size_t line = newline == std::string::npos ? 0 : newline + 1;
      const bool at_line_start = line > 0 || position_ == 0 || source_[position_ - 1] == '\n';
      if (at_line_start && data.find_first_not_of(kSpace, line) == std::string::npos) data.erase(line);
    }
  }

  // `position_` is at "%}", "}}" or "#}".
  void end_tag(char type) {
    const char sign = source_[position_ - 1];
    position_ += 2;
    if (sign == '-') {
      while (position_ < source_.size() && kSpace.find(source_[position_]) != std::string_view::npos) ++position_;
    } else if (type != '{' && sign != '+' && position_ < source_.size() && source_[position_] == '\n') {
      ++position_;  // trim_blocks
    }
  }

  // The words of a tag up to its end, which is passed.
  std::vector<Word> read_words(char type, size_t open) {
    const std::string_view close = type == '{' ? "}}" : "%}";
    std::vector<Word> words;
    while (true) {
      position_ = source_.find_first_not_of(kSpace, position_);
      if (position_ == std::string::npos) throw unfinished("tag", open);
      const std::string_view rest = std::string_view(source_).substr(position_);
      const bool signed_end = (rest[0] == '-' || (rest[0] == '+' && type != '{')) && rest.substr(1).starts_with(close);
      if (signed_end || rest.starts_with(close)) {
        position_ += signed_end ? 1 : 0;
        end_tag(type);
        return words;
      }
      if (rest[0] == '\'' || rest[0] == '"') {
        const auto value = read_string();
        // A string that is not understood goes on as it is written, as something that is no string.
        if (value) words.push_back({Word::Kind::String, *value});
        if (!value) words.push_back({Word::Kind::Operator, source_.substr(open, position_ - open)});
      } else if (is_name_character(rest[0])) {
        size_t length = 1;
        while (length < rest.size() && is_name_character(rest[length])) ++length;
        words.push_back({Word::Kind::Name, std::string(rest.substr(0, length))});
        position_ += length;
      } else {
        const bool is_pair = rest.starts_with("!=") || rest.starts_with("==");
        words.push_back({Word::Kind::Operator, std::string(rest.substr(0, is_pair ? 2 : 1))});
        position_ += is_pair ? 2 : 1;
      }
    }
  }

  // From the quote to behind the closing one. Python has more escapes than these, no known template uses them: nullopt.
  std::optional<std::string> read_string() {
    constexpr std::string_view kEscapes = "n\nt\tr\r\\\\''\"\"";
    const size_t start = position_;
    const char quote = source_[position_++];
    std::string value;
    bool is_understood = true;
    for (; position_ < source_.size(); ++position_) {
      const char c = source_[position_];
      if (c == quote) {
        ++position_;
        return is_understood ? std::optional(value) : std::nullopt;
      }
      if (c != '\\') {
        value.push_back(c);
        continue;
      }
      if (++position_ == source_.size()) break;
      size_t escape = 0;
      while (escape < kEscapes.size() && kEscapes[escape] != source_[position_]) escape += 2;
      is_understood = is_understood && escape < kEscapes.size();
      if (is_understood) value.push_back(kEscapes[escape + 1]);
    }
    throw unfinished("string", start);
  }

  void print(const std::string& text) {
    if (text.empty()) return;
    if (!items_.empty() && items_.back().kind == Kind::Text) {
      items_.back().text += text;
    } else {
      items_.push_back({Kind::Text, text});
    }
  }

  // a + b + c prints its parts one after the other. Parts that are not one string are values; an operator that binds
  // less than + ends up inside such a part, which then is no known value.
  void print_expression(const std::vector<Word>& words) {
    std::vector<Word> part;
    int depth = 0;
    const auto print_part = [&] {
      if (part.size() == 1 && part[0].kind == Word::Kind::String) {
        print(part[0].text);
      } else {
        items_.push_back({Kind::Value, canonical(part)});
      }
      part.clear();
    };
    for (const Word& word : words) {
      const bool is_operator = word.kind == Word::Kind::Operator;
      if (is_operator && (word.text == "(" || word.text == "[" || word.text == "{")) ++depth;
      if (is_operator && (word.text == ")" || word.text == "]" || word.text == "}")) --depth;
      if (is_operator && word.text == "+" && depth == 0) {
        print_part();
      } else {
        part.push_back(word);
      }
    }
    print_part();
  }

  std::string source_;
  size_t position_ = 0;
  std::vector<JinjaItem> items_;
};

}  // namespace

std::vector<JinjaItem> jinja_items(const std::string& source) { return Reader(source).read(); }

}  // namespace thinktune::text
