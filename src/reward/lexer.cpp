#include "reward/lexer.h"

#include <array>
#include <unordered_map>
#include <unordered_set>

#include "reward/decimal.h"

namespace thinktune::reward {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

// Commands (without the backslash) that leave nothing behind.
const std::unordered_set<std::string_view> kDropped = {
    "left",      "right",  "big", "Big",       "bigg",        "Bigg", "bigl", "bigr", "Bigl", "Bigr", "displaystyle",
    "textstyle", "limits", "rm",  "bf",        "it",          "sf",   "tt",   ",",    "!",    "(",    ")",
    "[",         "]",      "$",   "thinspace", "negthinspace"};
const std::unordered_set<std::string_view> kSpaces = {"quad", "qquad", "space", ";", ":", " ", "\n", "\t", "enspace"};
// Commands whose braces go and whose content stays; `true`: the content is text, where a single letter may be a unit.
const std::unordered_map<std::string_view, bool> kTransparent = {
    {"text", true},        {"textbf", true},       {"textit", true},  {"textrm", true},     {"textsf", true},
    {"texttt", true},      {"mbox", true},         {"hbox", true},    {"textnormal", true}, {"mathrm", true},
    {"emph", true},        {"operatorname", true}, {"mathbf", false}, {"mathit", false},    {"mathsf", false},
    {"boldsymbol", false}, {"boxed", false},       {"fbox", false}};
const std::unordered_map<std::string_view, Token> kSynonyms = {
    {"dfrac", {TokenKind::Command, "\\frac"}}, {"tfrac", {TokenKind::Command, "\\frac"}},
    {"cfrac", {TokenKind::Command, "\\frac"}}, {"times", {TokenKind::Symbol, "*"}},
    {"cdot", {TokenKind::Symbol, "*"}},        {"lt", {TokenKind::Symbol, "<"}},
    {"gt", {TokenKind::Symbol, ">"}},          {"le", {TokenKind::Symbol, "<="}},
    {"leq", {TokenKind::Symbol, "<="}},        {"ge", {TokenKind::Symbol, ">="}},
    {"geq", {TokenKind::Symbol, ">="}},        {"ne", {TokenKind::Symbol, "!="}},
    {"neq", {TokenKind::Symbol, "!="}},        {"degree", {TokenKind::Degree, "°"}},
    {"%", {TokenKind::Percent, "%"}},          {"lbrace", {TokenKind::Symbol, "\\{"}},
    {"rbrace", {TokenKind::Symbol, "\\}"}},    {"&", {TokenKind::Symbol, "&"}},
    {"_", {TokenKind::Symbol, "_"}},           {"#", {TokenKind::Symbol, "#"}}};

// What a character beyond ASCII stands for; an empty text: nothing (money), " ": a space.
struct Character {
  std::string_view bytes;
  Token token;
};
const std::array<Character, 17> kCharacters = {{{"\u00a0", {TokenKind::Symbol, " "}},
                                                {"\u2009", {TokenKind::Symbol, " "}},
                                                {"\u202f", {TokenKind::Symbol, " "}},
                                                {"\u3000", {TokenKind::Symbol, " "}},
                                                {"−", {TokenKind::Symbol, "-"}},
                                                {"×", {TokenKind::Symbol, "*"}},
                                                {"·", {TokenKind::Symbol, "*"}},
                                                {"⋅", {TokenKind::Symbol, "*"}},
                                                {"≤", {TokenKind::Symbol, "<="}},
                                                {"≥", {TokenKind::Symbol, ">="}},
                                                {"≠", {TokenKind::Symbol, "!="}},
                                                {"°", {TokenKind::Degree, "°"}},
                                                {"π", {TokenKind::Command, "\\pi"}},
                                                {"€", {TokenKind::Symbol, ""}},
                                                {"£", {TokenKind::Symbol, ""}},
                                                {"¥", {TokenKind::Symbol, ""}},
                                                {"₹", {TokenKind::Symbol, ""}}}};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) step();
    return std::move(tokens_);
  }

 private:
  enum class Brace : uint8_t { Plain, Transparent, Text };

  void step() {
    const char c = source_[at_];
    if (is_space(c) || c == '~' || c == '$') {
      space_ = true;
      ++at_;
    } else if (const size_t length = number_length(source_, at_, brackets_ == 0)) {
      emit(TokenKind::Number, source_.substr(at_, length));
      at_ += length;
    } else if (is_letter(c)) {
      const size_t end = end_of_letters(at_);
      emit(TokenKind::Word, source_.substr(at_, end - at_));
      at_ = end;
    } else if (c == '\\') {
      command();
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      beyond_ascii();
    } else {
      symbol(c);
    }
  }

  void symbol(char c) {
    const std::string_view text = source_.substr(at_, 1);
    if (c == '^' && degree()) return;
    ++at_;
    if (c == '%') return emit(TokenKind::Percent, text);
    if (c == '{') braces_.push_back(Brace::Plain);
    if (c == '}' && !braces_.empty()) {
      const Brace kind = braces_.back();
      braces_.pop_back();
      if (kind == Brace::Text) --text_depth_;
      if (kind != Brace::Plain) return;
    }
    // "(1,234)" is a pair: a comma between brackets separates, it does not group.
    if (c == '(' || c == '[') ++brackets_;
    if ((c == ')' || c == ']') && brackets_ > 0) --brackets_;
    emit(TokenKind::Symbol, text);
  }

  // "^\circ" or "^{\circ}".
  bool degree() {
    size_t at = skip_spaces(at_ + 1);
    const bool braced = at < source_.size() && source_[at] == '{';
    if (braced) at = skip_spaces(at + 1);
    if (source_.substr(at, 5) != "\\circ") return false;
    at += 5;
    if (at < source_.size() && is_letter(source_[at])) return false;
    if (braced) {
      at = skip_spaces(at);
      if (at >= source_.size() || source_[at] != '}') return false;
      ++at;
    }
    emit(TokenKind::Degree, "°");
    at_ = at;
    return true;
  }

  void command() {
    size_t end = end_of_letters(at_ + 1);
    if (end == at_ + 1) end = std::min(end + 1, source_.size());
    const std::string_view written = source_.substr(at_, end - at_);
    const std::string_view name = written.substr(1);
    at_ = end;
    if (kSpaces.contains(name)) {
      space_ = true;
    } else if (kDropped.contains(name)) {
      return;
    } else if (const auto synonym = kSynonyms.find(name); synonym != kSynonyms.end()) {
      emit(synonym->second.kind, synonym->second.text);
    } else if (const auto transparent = kTransparent.find(name); transparent != kTransparent.end()) {
      open_transparent(transparent->second);
    } else {
      if (name == "{") ++brackets_;
      if (name == "}" && brackets_ > 0) --brackets_;
      emit(!name.empty() && is_letter(name[0]) ? TokenKind::Command : TokenKind::Symbol, written);
    }
  }

  void open_transparent(bool is_text) {
    const size_t at = skip_spaces(at_);
    if (at >= source_.size() || source_[at] != '{') return;  // "\text m": the command alone goes
    at_ = at + 1;
    braces_.push_back(is_text ? Brace::Text : Brace::Transparent);
    if (is_text) ++text_depth_;
  }

  void beyond_ascii() {
    for (const auto& [bytes, token] : kCharacters) {
      if (!source_.substr(at_).starts_with(bytes)) continue;
      at_ += bytes.size();
      if (token.text.empty() || token.text == " ")
        space_ = true;
      else
        emit(token.kind, token.text);
      return;
    }
    emit(TokenKind::Symbol, source_.substr(at_, 1));
    ++at_;
  }

  void emit(TokenKind kind, std::string_view text) {
    tokens_.push_back({kind, text, space_, text_depth_ > 0});
    space_ = false;
  }

  size_t end_of_letters(size_t at) const {
    while (at < source_.size() && is_letter(source_[at])) ++at;
    return at;
  }
  size_t skip_spaces(size_t at) const {
    while (at < source_.size() && is_space(source_[at])) ++at;
    return std::min(at, source_.size());
  }

  std::string_view source_;
  size_t at_ = 0;
  std::vector<Token> tokens_;
  std::vector<Brace> braces_;
  size_t text_depth_ = 0;
  size_t brackets_ = 0;
  bool space_ = false;
};

void append_token(const Token& token, std::string& text) {
  // "(1,000)" must not turn into "(1,0)": digits behind a leading zero stay as they are written.
  const bool leading_zero = token.text.size() > 1 && token.text[0] == '0' && token.text[1] != '.';
  if (token.kind == TokenKind::Number && !leading_zero) {
    const Decimal number = read_decimal(token.text);
    text += number.is_zero() ? "0" : number.digits;
    if (number.exponent != 0) text += "e" + std::to_string(number.exponent);
  } else if (token.kind == TokenKind::Word && token.text.size() >= 3) {
    for (const char c : token.text) text += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  } else {
    text += token.text;
  }
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

std::string canonical_text(std::span<const Token> tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    // TeX sets {x} and x alike; longer groups keep their braces, for x^{12} is not x^12.
    const bool single = i + 2 < tokens.size() && tokens[i].is_symbol("{") && tokens[i + 2].is_symbol("}") &&
                        (tokens[i + 1].kind == TokenKind::Number || tokens[i + 1].kind == TokenKind::Word) &&
                        tokens[i + 1].text.size() == 1;
    const Token& token = single ? tokens[i + 1] : tokens[i];
    if (i > 0) {
      const TokenKind before = tokens[i - 1].kind;
      const bool word_behind_command = before == TokenKind::Command && token.kind == TokenKind::Word;
      const bool two_numbers = before == TokenKind::Number && tokens[i].kind == TokenKind::Number;
      if (word_behind_command || two_numbers) text += ' ';
    }
    append_token(token, text);
    if (single) i += 2;
  }
  return text;
}

}  // namespace thinktune::reward
