#include "reward/lexer.h"

#include <algorithm>

#include "reward/decimal.h"
#include "reward/lexer_tables.h"

namespace thinktune::reward {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) { tokens_.reserve(source.size() / 2 + 4); }

  std::vector<Token> run() {
    while (at_ < source_.size()) step();
    return std::move(tokens_);
  }

 private:
  enum class Brace : uint8_t { Plain, Transparent, Text };

  char look(size_t ahead) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

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
      word(source_.substr(at_, end - at_));
      at_ = end;
    } else if (c == '\\') {
      command();
    } else {
      symbol(c);
    }
  }

  // Behind what a unit may follow.
  bool behind_value() const {
    if (tokens_.empty()) return false;
    const Token& last = tokens_.back();
    switch (last.kind) {
      case TokenKind::Number:
      case TokenKind::Percent:
      case TokenKind::Degree:
      case TokenKind::Currency:
        return true;
      case TokenKind::Command:
        return last.text == "\\pi" || last.text == "\\infty";
      case TokenKind::Symbol:
        return last.text == ")" || last.text == "}" || last.text == "]" || last.text == "!";
      default:
        return false;
    }
  }
  // Behind a word, or the sign that joins two of one unit ("km/h", "foot-pounds", "5-inch").
  bool behind_unit() const {
    if (tokens_.empty()) return false;
    const Token& last = tokens_.back();
    if (last.kind == TokenKind::Word) return last.text != "and" && last.text != "or";
    if (last.kind != TokenKind::Symbol || tokens_.size() < 2) return false;
    if (last.text == ".") return tokens_[tokens_.size() - 2].kind == TokenKind::Word;
    const bool joins = last.text == "/" || last.text == "-" || last.text == "*";
    return joins && tokens_[tokens_.size() - 2].kind == TokenKind::Word;
  }

  // "km/h", "miles per h", "square m".
  bool letter_of_unit() const {
    if (!behind_unit()) return false;
    const Token& last = tokens_.back();
    return last.kind == TokenKind::Symbol || last.text == "per" || last.text == "square" || last.text == "cubic" ||
           last.text == "sq";
  }

  void word(std::string_view text) {
    const std::string_view name = named_command(text);
    const bool in_text = text_depth_ > 0;
    if (text.size() == 1) {
      const bool quantity = text == "i" || text == "e";
      const std::string_view here = source_.substr(at_, 4);
      const bool speed = here.starts_with("m/s") && (here.size() == 3 || !is_letter(here[3]));
      const bool unit = (speed && space_ && behind_value()) || (in_text && !quantity && behind_value()) ||
                        (text == "a" ? behind_unit() : letter_of_unit());
      return emit(unit ? TokenKind::Word : TokenKind::Letter, text);
    }
    if (!name.empty() && !behind_word()) return emit(TokenKind::Command, name);
    const bool joined = !tokens_.empty() && tokens_.back().kind == TokenKind::Symbol &&
                        (tokens_.back().text == "/" || tokens_.back().text == "-");
    const bool unit = (behind_value() || behind_unit() || joined) && may_be_unit(text, space_ || behind_unit());
    if (in_text || unit || is_text_word(text)) return emit(TokenKind::Word, text);
    for (size_t i = 0; i < text.size(); ++i) emit(TokenKind::Letter, text.substr(i, 1));
  }
  // In prose ("at least pi" is not \pi's place).
  bool behind_word() const {
    return text_depth_ > 0 && !tokens_.empty() && tokens_.back().kind == TokenKind::Word && tokens_.back().in_text;
  }

  void symbol(char c) {
    if (c == '^' && degree()) return;
    const std::string_view two = source_.substr(at_, 2);
    if (source_.substr(at_, 3) == "+/-") {
      at_ += 3;
      return emit(TokenKind::Command, "\\pm");
    }
    if (two == "<=" || two == ">=" || two == "==" || two == "**" || (two == "!=" && (space_ || !behind_value()))) {
      at_ += 2;
      return emit(TokenKind::Symbol, two == "==" ? "=" : two == "**" ? "^" : two);
    }
    const std::string_view text = source_.substr(at_, 1);
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
    if (look(1) == '\\' && environments_ == 0 && doubled()) ++at_;
    size_t end = end_of_letters(at_ + 1);
    if (end == at_ + 1) end = std::min(end + 1, source_.size());
    const std::string_view written = source_.substr(at_, end - at_);
    const std::string_view name = written.substr(1);
    at_ = end;
    if (name == "begin" || name == "end") return environment(name == "begin");
    for (const std::string_view space : {"quad", "qquad"}) {
      // "\quadx": the space behind the command was lost.
      if (name.size() <= space.size() || !name.starts_with(space)) continue;
      at_ -= name.size() - space.size();
      space_ = true;
      return;
    }
    const CommandMeaning meaning = command_meaning(name);
    switch (meaning.what) {
      case CommandClass::Space:
        space_ = true;
        return;
      case CommandClass::Dropped:
        return;
      case CommandClass::Synonym:
        count_bracket(meaning.token.text);
        return emit(meaning.token.kind, meaning.token.text);
      case CommandClass::Text:
      case CommandClass::Transparent:
        return open_transparent(meaning.what == CommandClass::Text);
      case CommandClass::Left:
      case CommandClass::Right:
        pending_ = meaning.what == CommandClass::Left ? Delimiter::Left : Delimiter::Right;
        at_ = skip_spaces(at_);
        if (look(0) == '.') {
          ++at_;
          pending_ = Delimiter::None;
        }
        return;
      case CommandClass::Other:
        break;
    }
    count_bracket(written);
    emit(!name.empty() && is_letter(name[0]) ? TokenKind::Command : TokenKind::Symbol, written);
  }

  // "\\frac" outside an environment: a command that was escaped once too often, for there are no lines to break.
  bool doubled() const {
    return is_letter(look(2)) ||
           (look(2) != '\0' && std::string_view("()[]{}%$!,;:").find(look(2)) != std::string_view::npos);
  }

  void count_bracket(std::string_view text) {
    if (text == "\\{") ++brackets_;
    if (text == "\\}" && brackets_ > 0) --brackets_;
  }

  void environment(bool begins) {
    const size_t open = skip_spaces(at_);
    const size_t close = open < source_.size() && source_[open] == '{'
                             ? source_.substr(0, std::min(source_.size(), open + 24)).find('}', open)
                             : std::string_view::npos;
    if (close == std::string_view::npos) return emit(TokenKind::Symbol, begins ? "\\begin" : "\\end");
    at_ = close + 1;
    if (begins) ++environments_;
    if (!begins && environments_ > 0) --environments_;
    emit(begins ? TokenKind::Begin : TokenKind::End, source_.substr(open + 1, close - open - 1));
  }

  void open_transparent(bool is_text) {
    if (look(0) == '*') ++at_;
    const size_t at = skip_spaces(at_);
    if (at >= source_.size() || source_[at] != '{') return;  // "\text m": the command alone goes
    at_ = at + 1;
    braces_.push_back(is_text ? Brace::Text : Brace::Transparent);
    if (is_text) ++text_depth_;
  }

  void emit(TokenKind kind, std::string_view text) {
    tokens_.push_back({kind, pending_, space_, text_depth_ > 0, text});
    space_ = false;
    pending_ = Delimiter::None;
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
  size_t environments_ = 0;
  Delimiter pending_ = Delimiter::None;
  bool space_ = false;
};

void append_token(const Token& token, std::string& text) {
  // "(1,000)" must not turn into "(1,0)": digits behind a leading zero stay as they are written.
  const bool leading_zero = token.text.size() > 1 && token.text[0] == '0' && token.text[1] != '.';
  switch (token.kind) {
    case TokenKind::Number: {
      if (leading_zero) break;
      const Decimal number = read_decimal(token.text);
      text += number.is_zero() ? "0" : number.digits;
      if (number.exponent != 0) text += "e" + std::to_string(number.exponent);
      return;
    }
    case TokenKind::Word:
      text += token.text.size() == 1 ? std::string(token.text) : lower_case(token.text);
      return;
    case TokenKind::Currency:
      return;
    case TokenKind::Begin:
    case TokenKind::End:
      text += token.kind == TokenKind::Begin ? "\\begin " : "\\end ";
      break;
    default:
      break;
  }
  text += token.text;
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

std::string canonical_text(std::span<const Token> tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    // TeX sets {x} and x alike; longer groups keep their braces.
    const bool single = i + 2 < tokens.size() && tokens[i].is_symbol("{") && tokens[i + 2].is_symbol("}") &&
                        (tokens[i + 1].kind == TokenKind::Number || tokens[i + 1].kind == TokenKind::Letter) &&
                        tokens[i + 1].text.size() == 1;
    const Token& token = single ? tokens[i + 1] : tokens[i];
    if (i > 0) {
      const TokenKind before = tokens[i - 1].kind;
      const bool letters = token.kind == TokenKind::Letter || token.kind == TokenKind::Word;
      const bool behind_command = before == TokenKind::Command && letters;
      const bool two_numbers = before == TokenKind::Number && tokens[i].kind == TokenKind::Number;
      if (behind_command || two_numbers) text += ' ';
    }
    append_token(token, text);
    if (single) i += 2;
  }
  return text;
}

}  // namespace thinktune::reward
