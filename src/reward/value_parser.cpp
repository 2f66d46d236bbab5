#include "reward/value_parser.h"

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace thinktune::reward {
namespace {

constexpr int kMaxDepth = 16;  // parentheses around a number; more is nobody's answer

const std::unordered_map<std::string_view, int> kScales = {
    {"hundred", 2},  {"hundreds", 2}, {"thousand", 3}, {"thousands", 3}, {"million", 6},
    {"millions", 6}, {"billion", 9},  {"billions", 9}, {"trillion", 12}, {"trillions", 12}};

// Words behind a number that make it another number, or more than one answer: never taken for a unit.
const std::unordered_set<std::string_view> kNotUnits = {
    "and",         "or",      "nor",       "not",    "to",     "through", "plus",      "minus",      "times",
    "over",        "divided", "mod",       "modulo", "more",   "less",    "fewer",     "greater",    "than",
    "if",          "when",    "where",     "unless", "except", "but",     "pi",        "tau",        "sqrt",
    "root",        "squared", "cubed",     "sin",    "cos",    "tan",     "cot",       "csc",        "log",
    "ln",          "exp",     "factorial", "dozen",  "dozens", "score",   "half",      "halves",     "third",
    "thirds",      "fourth",  "fourths",   "fifth",  "fifths", "sixth",   "sixths",    "seventh",    "sevenths",
    "eighth",      "eighths", "ninth",     "ninths", "tenth",  "tenths",  "hundredth", "hundredths", "thousandth",
    "thousandths", "am",      "pm",        "bc",     "ad",     "bce",     "e",         "i",          "remainder",
    "base",        "choose"};

// Units that may stand behind a number without \text and without a space. A single bare letter never may: 5m is an
// algebraic term.
const std::unordered_set<std::string_view> kShortUnits = {
    "cm",  "mm",  "km", "nm", "kg", "mg",  "lb",  "lbs",  "oz",  "ml",   "mL",  "cl",  "dl",  "ft",
    "yd",  "yds", "mi", "in", "hr", "hrs", "min", "mins", "sec", "secs", "ms",  "mph", "kph", "kmh",
    "rpm", "gal", "qt", "pt", "sq", "cu",  "Hz",  "kHz",  "MHz", "GHz",  "kW",  "MW",  "kWh", "MB",
    "GB",  "TB",  "KB", "eV", "kJ", "kPa", "Pa",  "mol",  "deg", "rad",  "USD", "EUR", "GBP", "of",
    "per", "at",  "on", "by", "an", "is",  "are", "we",   "he",  "she"};

std::string lower(std::string_view word) {
  std::string text(word);
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

class ValueParser {
 public:
  explicit ValueParser(std::span<const Token> tokens) : tokens_(tokens) {}

  std::optional<Value> run() {
    Value value;
    if (!signed_magnitude(value, 0) || !suffix(value)) return std::nullopt;
    return value;
  }

 private:
  bool done() const { return at_ == tokens_.size(); }
  const Token* peek(size_t ahead = 0) const { return at_ + ahead < tokens_.size() ? &tokens_[at_ + ahead] : nullptr; }
  bool next_is(TokenKind kind, size_t ahead = 0) const { return peek(ahead) != nullptr && peek(ahead)->kind == kind; }
  bool next_is(std::string_view symbol, size_t ahead = 0) const {
    return peek(ahead) != nullptr && peek(ahead)->is_symbol(symbol);
  }
  bool accept(std::string_view symbol) {
    if (!next_is(symbol)) return false;
    ++at_;
    return true;
  }

  // Whether a minus sign was there; at most one sign.
  bool take_sign() { return !accept("+") && accept("-"); }

  bool signed_magnitude(Value& value, int depth) {
    const bool minus = take_sign();
    if (!magnitude(value, depth)) return false;
    if (minus && !value.numerator.is_zero()) value.numerator.negative = !value.numerator.negative;
    return true;
  }

  bool magnitude(Value& value, int depth) {
    if (depth > kMaxDepth) return false;
    for (const auto& [open, close] : {std::pair{"(", ")"}, std::pair{"{", "}"}})
      if (accept(open)) return signed_magnitude(value, depth + 1) && accept(close);
    if (next_is_fraction()) return fraction(value);
    if (!next_is(TokenKind::Number)) return false;
    const Token& number = tokens_[at_++];
    value = Value{.numerator = read_decimal(number.text)};
    if (next_is("^")) return number.text == "10" && power_of_ten(value);
    if (next_is(TokenKind::Word) && peek()->text == "x" && next_is(TokenKind::Number, 1) && next_is("^", 2)) {
      ++at_;  // "5 x 10^3"
      return times_power_of_ten(value);
    }
    if (accept("*")) return times_power_of_ten(value);
    if (next_is("/") && next_is(TokenKind::Number, 1)) return quotient(value);
    if (next_is_fraction() || (next_is(TokenKind::Number) && peek()->space_before)) return mixed(number, value);
    return true;
  }

  bool next_is_fraction() const { return peek() != nullptr && peek()->is(TokenKind::Command, "\\frac"); }

  // "/ b" behind a numerator.
  bool quotient(Value& value) {
    ++at_;
    value.denominator = read_decimal(tokens_[at_++].text);
    return !value.denominator.is_zero() && !next_is("^");
  }

  // "2 1/2" and "2\frac{1}{2}".
  bool mixed(const Token& whole, Value& value) {
    if (whole.text.find_first_of(".eE") != std::string_view::npos) return false;
    Value part;
    if (next_is_fraction()) {
      if (!fraction(part)) return false;
    } else {
      part.numerator = read_decimal(tokens_[at_++].text);
      if (!next_is("/") || !next_is(TokenKind::Number, 1) || !quotient(part)) return false;
    }
    return add_mixed(Decimal(value.numerator), part, value);
  }

  bool fraction(Value& value) {
    ++at_;
    value = Value{};
    // \frac12: TeX takes one token for each argument.
    if (next_is(TokenKind::Number) && peek()->text.size() == 2 && peek()->text.find('.') == std::string_view::npos) {
      const std::string_view digits = tokens_[at_++].text;
      value.numerator = read_decimal(digits.substr(0, 1));
      value.denominator = read_decimal(digits.substr(1, 1));
    } else if (!argument(value.numerator) || !argument(value.denominator)) {
      return false;
    }
    if (value.denominator.is_zero()) return false;
    if (value.denominator.negative && !value.numerator.is_zero()) value.numerator.negative = !value.numerator.negative;
    value.denominator.negative = false;
    return !next_is("^");
  }

  // A signed number in braces, or one bare digit.
  bool argument(Decimal& number) {
    const bool braced = accept("{");
    const bool minus = braced && take_sign();
    if (!next_is(TokenKind::Number) || (!braced && peek()->text.size() != 1)) return false;
    number = read_decimal(tokens_[at_++].text);
    number.negative = minus && !number.is_zero();
    return !braced || accept("}");
  }

  // "^3", "^{-3}" behind a 10: value becomes 10^that.
  bool power_of_ten(Value& value) {
    ++at_;
    const bool braced = accept("{");
    const bool minus = take_sign();
    // Bare, TeX takes one token: 10^12 is set as 10¹2, but nobody who writes it means that.
    if (!next_is(TokenKind::Number)) return false;
    const std::string_view digits = tokens_[at_++].text;
    if (digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string_view::npos) return false;
    if (braced && !accept("}")) return false;
    const int64_t exponent = std::stoll(std::string(digits));
    value.numerator = Decimal{false, "1", minus ? -exponent : exponent};
    return true;
  }

  bool times_power_of_ten(Value& value) {
    if (!next_is(TokenKind::Number) || peek()->text != "10" || !next_is("^", 1)) return false;
    ++at_;
    Value power;
    if (!power_of_ten(power)) return false;
    if (!value.numerator.is_zero()) value.numerator.exponent += power.numerator.exponent;
    return true;
  }

  bool suffix(Value& value) {
    if (next_is(TokenKind::Word)) {
      if (const auto scale = kScales.find(lower(peek()->text)); scale != kScales.end()) {
        if (!value.numerator.is_zero()) value.numerator.exponent += scale->second;
        ++at_;
      }
    }
    if (next_is(TokenKind::Percent)) {
      ++at_;
    } else if (next_is(TokenKind::Degree)) {
      ++at_;
      if (next_is(TokenKind::Word) && (peek()->text == "C" || peek()->text == "F")) ++at_;
    }
    return trailing_words();
  }

  // Units: "cm", "\text{ m}^2", "km/h", "dollars per hour", "foot-pounds", "sq. ft". Nothing with a number in it but an
  // exponent.
  bool trailing_words() {
    bool expects_word = accept("-") || accept("/");  // "5-inch", "60/hour"
    bool is_first = true;
    while (!done()) {
      if (!unit_word(is_first, tokens_[at_ - 1].is_symbol("/"))) return false;
      is_first = false;
      expects_word = false;
      if (next_is("^") && !unit_exponent()) return false;
      if (next_is(".")) ++at_;
      if ((next_is("/") || next_is("-") || next_is("*")) && next_is(TokenKind::Word, 1)) {
        ++at_;
        expects_word = true;
      }
    }
    return !expects_word;
  }

  bool unit_word(bool is_first, bool behind_slash) {
    if (!next_is(TokenKind::Word)) return false;
    const Token& word = tokens_[at_++];
    const std::string text = lower(word.text);
    if (kNotUnits.contains(text) || kScales.contains(text)) return false;
    if (text.size() == 1 && !is_first && (behind_slash || text == "a")) return true;  // "km/h", "dollars a day"
    if (text.size() == 1) return word.in_text && !next_is(".");                       // "p.m." is no unit
    if (word.in_text || kShortUnits.contains(word.text)) return true;
    // Bare letters may be a product (5xy): a word is longer, has a vowel, and stands apart or is longer still.
    return text.size() >= (word.space_before ? 3u : 4u) && text.find_first_of("aeiou") != std::string::npos;
  }

  bool unit_exponent() {
    ++at_;
    const bool braced = accept("{");
    if (!next_is(TokenKind::Number) || (peek()->text != "2" && peek()->text != "3")) return false;
    ++at_;
    return !braced || accept("}");
  }

  std::span<const Token> tokens_;
  size_t at_ = 0;
};

}  // namespace

std::optional<Value> parse_value(std::span<const Token> tokens) { return ValueParser(tokens).run(); }

}  // namespace thinktune::reward
