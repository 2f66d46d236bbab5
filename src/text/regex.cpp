#include "text/regex.h"

#include <optional>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/utf8.h"
#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

std::string pcre2_reason(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// One pass over an expression. Everything that the two dialects read alike is copied.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string translate() {
    if (in_.size() > 65536) throw refuse("it is longer than 64 KiB");
    while (i_ < in_.size()) {
      const char c = in_[i_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        inside_class(c);
      } else {
        outside_class(c);
      }
    }
    return std::move(out_);
  }

 private:
  core::Error refuse(const std::string& why) const {
    return core::data_error(fmt::format("{} has the regular expression \"{}\": {}", where_, in_.substr(0, 200), why),
                            R"(known are literals, classes, \s \d \w \p{..} \x \u \r \n \t, quantifiers, groups that )"
                            R"(capture nothing, look-ahead and look-behind)");
  }

  void inside_class(char c) {
    if (c == '[') throw refuse("a class within a class");
    if (in_.substr(i_).starts_with("&&")) throw refuse("an intersection of classes (&&)");
    // "]" right after the opening is a literal in both, but not in all versions: say it plainly.
    if (c == ']' && class_start_ == i_) throw refuse("a class that begins with \"]\"");
    if (c == ']') in_class_ = false;
    copy(1);
  }

  void outside_class(char c) {
    if (c == '[') {
      in_class_ = true;
      copy(in_.substr(i_).starts_with("[^") ? 2 : 1);
      class_start_ = i_;
      return;
    }
    if (c == '(') return group();
    // A "+" after {n,m} repeats once more in the one dialect and is possessive in the other.
    if (c == '}' && in_.substr(i_).starts_with("}+")) throw refuse("\"+\" after \"{..}\"");
    copy(1);
  }

  void group() {
    const std::string_view rest = in_.substr(i_);
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:", "(?i)"})
      if (rest.starts_with(known)) return copy(known.size());
    if (rest.starts_with("(?") || rest.starts_with("(*"))
      throw refuse(fmt::format("the group \"{}\"", rest.substr(0, 4)));
    out_ += "(?:";  // what a group holds is of no use here
    ++i_;
  }

  void escape() {
    if (i_ + 1 >= in_.size()) throw refuse("it ends in a backslash");
    const char c = in_[i_ + 1];
    switch (c) {
      case 's':
        return put(2, R"(\p{White_Space})");
      case 'S':
        return put(2, R"(\P{White_Space})");
      case 'd':
        return put(2, R"(\p{Nd})");
      case 'D':
        return put(2, R"(\P{Nd})");
      case 'w':
        return put(2, in_class_ ? kWord : std::string("[") + kWord + "]");
      case 'W':
        if (in_class_) throw refuse("\\W within a class");
        return put(2, std::string("[^") + kWord + "]");
      case 'p':
      case 'P':
        return property();
      case 'x':
        return hexadecimal();
      case 'u':
        return four_digits();
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'v':
        // PCRE2's \v is any vertical space.
        return c == 'v' ? put(2, R"(\x{B})") : copy(2);
      case 'A':
      case 'z':
        if (!in_class_) return copy(2);
        break;
      default:
        break;
    }
    if (is_letter(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80)
      throw refuse(fmt::format("\"\\{}\"", in_.substr(i_ + 1, 1)));
    copy(2);
  }

  void property() {
    const size_t end = in_.find('}', i_);
    if (in_.substr(i_ + 2, 1) != "{" || end == std::string_view::npos)
      throw refuse("a property that is not written as \\p{..}");
    copy(end + 1 - i_);
  }

  void hexadecimal() {
    size_t end = i_ + 2;
    if (in_.substr(end, 1) == "{") {
      end = in_.find('}', end);
      if (end == std::string_view::npos) throw refuse("\\x{ without its end");
      return copy(end + 1 - i_);
    }
    while (end < in_.size() && end < i_ + 4 && is_hex(in_[end])) ++end;
    // Above 7F it is a byte of a character in the one dialect and a character in the other.
    if (end == i_ + 2 || (end == i_ + 4 && in_[i_ + 2] >= '8')) throw refuse("\\x of a byte above 7F");
    copy(end - i_);
  }

  void four_digits() {
    const std::string_view digits = in_.substr(i_ + 2, 4);
    for (const char c : digits)
      if (!is_hex(c)) throw refuse("\\u without four digits");
    if (digits.size() < 4) throw refuse("\\u without four digits");
    put(6, fmt::format("\\x{{{}}}", digits));
  }

  void put(size_t num_read, const std::string& text) {
    out_ += text;
    i_ += num_read;
  }
  void copy(size_t size) { put(size, std::string(in_.substr(i_, size))); }

  // Oniguruma's \w, character by character.
  static constexpr const char* kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t i_ = 0;
  bool in_class_ = false;
  size_t class_start_ = 0;
};

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

std::string to_pcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).translate();
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
  std::string where;

  Code(const std::string& pattern, std::string where_from) : where(std::move(where_from)) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    // In Ruby's syntax ^ and $ are the start and the end of a line, hence PCRE2_MULTILINE.
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
    if (code == nullptr)
      throw core::data_error(fmt::format("{} has a regular expression that cannot be compiled: {} (at {} of {})", where,
                                         pcre2_reason(error), offset, pattern.substr(0, 200)));
    // A PCRE2 built without JIT says so here and matches by its interpreter: the same words, only slower.
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    context.reset(pcre2_match_context_create(nullptr));
    TT_CHECK(context != nullptr, "no memory for a match");
    pcre2_set_match_limit(context.get(), 10'000'000);
  }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }

  // The first match at `start` or after it.
  std::optional<Match> find(std::string_view text, size_t start, pcre2_match_data* data) const {
    const auto match = [&](uint32_t options) {
      // The text was checked already: a check in each call would make the time quadratic.
      return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                         PCRE2_NO_UTF_CHECK | options, data, context.get());
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (result < 0)
      throw core::data_error(
          fmt::format("{} has a regular expression that this text is too much for: {}", where, pcre2_reason(result)));
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data);
    return Match{ends[0], ends[1]};
  }
};

Regex::Regex(std::string_view pattern, const std::string& where)
    : code_(std::make_shared<const Code>(to_pcre2(pattern, where), where)) {}

void Regex::find_all(std::string_view text, std::vector<Match>& matches) const {
  matches.clear();
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  TT_CHECK(data != nullptr, "no memory for a match");
  size_t start = 0;
  while (start <= text.size()) {
    const auto found = code_->find(text, start, data.get());
    if (!found) return;
    const bool is_empty = found->end <= found->begin;
    // An empty match right behind another match is none.
    if (!is_empty || matches.empty() || matches.back().end != found->end) matches.push_back({found->begin, found->end});
    start = found->end;
    if (is_empty) start += start < text.size() ? utf8_character_length(text.substr(start)) : 1;
  }
}

}  // namespace thinktune::text
