// Formulas in a text, and what a formula says at its end.
#include <array>

#include "reward/extract.h"
#include "reward/formulas.h"

namespace thinktune::reward {
namespace {

// Words of three letters or more that are neither commands nor inside braces.
size_t num_prose_words(std::string_view text) {
  size_t num_words = 0, depth = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && depth > 0) --depth;
    if (!is_letter(text[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (is_letter(char_at(text, i))) ++i;
    num_words += depth == 0 && i - begin >= 3 && (begin == 0 || text[begin - 1] != '\\');
  }
  return num_words;
}

// "$5 for a pen and $" is money on both sides.
bool is_money(std::string_view content, char behind) {
  if (trimmed(content).empty() || is_digit(behind)) return true;
  if (is_digit(content.front()) && content.back() == ' ') return true;
  return num_prose_words(content) >= 3;
}

// Commands that may stand in a calculation; any other is taken for a quantity with a name.
bool is_arithmetic(std::string_view command) {
  static constexpr std::array<std::string_view, 9> kCommands = {"frac", "dfrac", "tfrac", "cdot", "times",
                                                                "div",  "left",  "right", "sqrt"};
  for (const std::string_view known : kCommands)
    if (command == known) return true;
  return false;
}

bool has_name(std::string_view side) {
  for (size_t i = 0; i < side.size();) {
    const bool command = side[i] == '\\';
    const size_t begin = i += command;
    while (is_letter(char_at(side, i))) ++i;
    if (i == begin)
      ++i;
    else if (!command || !is_arithmetic(side.substr(begin, i - begin)))
      return true;
  }
  return false;
}

bool is_equals_sign(std::string_view text, size_t at) {
  if (text[at] != '=') return false;
  const char before = at > 0 ? text[at - 1] : ' ';
  return before != '<' && before != '>' && before != '!' && before != ':' && before != '=' &&
         char_at(text, at + 1) != '=';
}

}  // namespace

std::optional<Formula> Formulas::at(size_t at) {
  if (char_at(text_, at) == '$') return char_at(text_, at + 1) == '$' ? until("$$", at, 0) : money_or_formula(at);
  if (char_at(text_, at) != '\\') return std::nullopt;
  if (text_[at + 1 < text_.size() ? at + 1 : at] == '(') return until("\\)", at, 1);
  if (text_[at + 1 < text_.size() ? at + 1 : at] == '[') return until("\\]", at, 2);
  return std::nullopt;
}

// A mark that is missing once is missing for all that follow: it is looked for only once.
std::optional<Formula> Formulas::until(std::string_view mark, size_t at, size_t kind) {
  if (missing_[kind]) return std::nullopt;
  const size_t end = text_.find(mark, at + 2);
  if (end == std::string_view::npos) {
    missing_[kind] = true;
    return std::nullopt;
  }
  return Formula{trimmed(text_.substr(at + 2, end - at - 2)), end + 2};
}

std::optional<Formula> Formulas::money_or_formula(size_t at) {
  for (size_t i = at + 1; i < text_.size() && text_[i] != '\n'; ++i) {
    if (text_[i] == '\\') {
      ++i;
      continue;
    }
    if (text_[i] != '$') continue;
    const std::string_view content = text_.substr(at + 1, i - at - 1);
    if (is_money(content, char_at(text_, i + 1))) return std::nullopt;
    return Formula{trimmed(content), i + 1};
  }
  return std::nullopt;
}

std::optional<Formula> formula_at(std::string_view text, size_t at) { return Formulas(text).at(at); }

std::string_view last_side(std::string_view formula) {
  size_t num_signs = 0, last = 0, depth = 0;
  for (size_t i = 0; i < formula.size(); ++i) {
    const char c = formula[i];
    if (c == '(' || c == '[' || c == '{') ++depth;
    if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
    if (depth > 0) continue;
    if (c == ';' || (c == ',' && !is_digit(char_at(formula, i + 1)))) return formula;  // several statements
    if ((c == 'o' || c == 'a') && i > 0 && !is_letter(formula[i - 1]) &&
        (from(formula, i).starts_with("or ") || from(formula, i).starts_with("and ")))
      return formula;
    if (!is_equals_sign(formula, i)) continue;
    ++num_signs;
    last = i;
  }
  if (num_signs == 0 || (num_signs == 1 && has_name(formula.substr(0, last)))) return formula;
  const std::string_view side = trimmed(formula.substr(last + 1));
  return side.empty() ? formula : side;
}

Place last_math(std::string_view text) {
  Formulas formulas(text);
  std::optional<Formula> last;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '$' && text[at] != '\\') {
      ++at;
      continue;
    }
    if (const auto formula = formulas.at(at)) {
      if (!formula->content.empty() && !ends_in_empty_box(formula->content)) last = formula;
      at = formula->end;
    } else {
      at += text[at] == '\\' ? 2 : 1;
    }
  }
  // The answer may stand behind the formulas, in words: "so he pays 7 dollars".
  if (!last || last_number(text.substr(last->end))) return std::nullopt;
  return last_side(without_marks(last->content));
}

}  // namespace thinktune::reward
