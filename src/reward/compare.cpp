// Equality of two short answers: as numbers where both are numbers, else as text.
#include <algorithm>
#include <optional>
#include <span>

#include "reward/lexer.h"
#include "reward/value_parser.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

// One side of the comparison. `tokens` views into the text that was read.
struct Side {
  std::vector<Token> tokens;
  std::string name;  // "x" of "x = 5"
  std::string text;  // canonical, without name and closing period
  std::optional<Value> value;
};

// Number of tokens of "name =" at the beginning, 0 if there is none: one command (\theta) or some words, then an index
// ("x_1") or an argument ("f(2)"). A left side that is more than a name makes the whole an equation, which is no value.
size_t name_length(std::span<const Token> tokens) {
  size_t at = 0;
  for (; at < tokens.size() && tokens[at].kind == TokenKind::Word; ++at)
    if (tokens[at].text == "not" || tokens[at].text == "or" || tokens[at].text == "and") return 0;
  if (at == 0 && !tokens.empty() && tokens[0].kind == TokenKind::Command && tokens[0].text != "\\frac") at = 1;
  if (at == 0) return 0;
  const auto is = [&](size_t i, std::string_view symbol) { return i < tokens.size() && tokens[i].is_symbol(symbol); };
  if (is(at, "_")) at += is(at + 1, "{") && is(at + 3, "}") ? 4 : 2;
  if (is(at, "(") && is(at + 2, ")")) at += 3;
  return is(at, "=") && at + 1 < tokens.size() ? at + 1 : 0;
}

// "(C)" means C; "(5)" is read by the parser.
void strip_parentheses_of_letter(std::span<const Token>& tokens) {
  if (tokens.size() == 3 && tokens[0].is_symbol("(") && tokens[2].is_symbol(")") && tokens[1].kind == TokenKind::Word)
    tokens = tokens.subspan(1, 1);
}

Side read_side(std::string_view written) {
  Side side{.tokens = tokenize(written)};
  std::span<const Token> rest = side.tokens;
  // One mark, so that "0.33..." does not pass for 0.33.
  if (!rest.empty() && (rest.back().is_symbol(".") || rest.back().is_symbol(",") || rest.back().is_symbol(";")))
    rest = rest.first(rest.size() - 1);
  if (const size_t length = name_length(rest)) {
    side.name = canonical_text(rest.first(length - 1));
    rest = rest.subspan(length);
  }
  strip_parentheses_of_letter(rest);
  side.value = parse_value(rest);
  side.text = canonical_text(rest);
  return side;
}

bool is_letter(const std::string& text) {
  return text.size() == 1 && ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z'));
}

struct Ruling {
  Verdict verdict;
  const char* reason;
};

Ruling rule(const Side& answer, const Side& gold) {
  if (answer.text.empty()) return {Verdict::Unparsed, "the answer is empty"};
  if (!answer.name.empty() && !gold.name.empty() && answer.name != gold.name)
    return {Verdict::Wrong, "the value of another unknown than the gold answer's"};
  if (answer.value && gold.value) {
    switch (compare(*answer.value, *gold.value)) {
      case Sameness::Same:
        return {Verdict::Right, "the same number"};
      case Sameness::Different:
        return {Verdict::Wrong, "another number than the gold answer"};
      case Sameness::TooLong:
        break;
    }
    if (answer.text == gold.text) return {Verdict::Right, "the same text"};
    return {Verdict::Unparsed, "fractions too long to compare exactly, and not the same text"};
  }
  if (answer.text == gold.text) return {Verdict::Right, "the same text"};
  if (is_letter(answer.text) && is_letter(gold.text)) return {Verdict::Wrong, "another letter than the gold answer"};
  if (answer.value) return {Verdict::Wrong, "a number, which the gold answer is not"};
  if (gold.value) return {Verdict::Unparsed, "the answer cannot be read as a number"};
  return {Verdict::Unparsed, "neither answer is a number, and the texts differ"};
}

}  // namespace

Judgement compare_answers(std::string_view answer, std::string_view gold) {
  const Ruling ruling = rule(read_side(answer), read_side(gold));
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = std::min(answer.find_first_not_of(kSpace), answer.size());
  const size_t last = answer.find_last_not_of(kSpace);
  return {.verdict = ruling.verdict,
          .reward = ruling.verdict == Verdict::Right ? 1.0 : 0.0,
          .extracted = std::string(last == std::string_view::npos ? "" : answer.substr(first, last - first + 1)),
          .reason = ruling.reason};
}

}  // namespace thinktune::reward
