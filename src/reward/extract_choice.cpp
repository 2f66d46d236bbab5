// The letter of a multiple choice.
#include "reward/extract.h"

namespace thinktune::reward {
namespace {

constexpr char kLastLetter = 'J';  // MMLU-Pro has ten choices

bool is_choice(char c) { return (c >= 'A' && c <= kLastLetter) || (c >= 'a' && c <= lower(kLastLetter)); }

// What may stand between the beginning of an answer and its letter: "**", "$", "(", "\text{", "option ".
size_t skip_opening(std::string_view text) {
  for (size_t at = 0;;) {
    const size_t before = at;
    while (at < text.size() && (is_space(text[at]) || is_any_of(text[at], "*_$([{\"'`"))) ++at;
    for (const std::string_view opening : {"\\text{", "\\textbf{", "\\textit{", "\\mathrm{", "\\mathbf{", "\\mathit{",
                                           "\\boxed{", "\\(", "\\[", "option ", "choice ", "letter ", "answer "})
      if (begins_with_word(from(text, at), opening)) at += opening.size();
    if (at == before) return at;
  }
}

// "B is correct", "Option B is the best answer": the letter in front of a verdict, from the back of the text.
Place letter_before_verdict(std::string_view text) {
  for (size_t end = text.size();;) {
    const size_t at = text.substr(0, end).rfind(" is ");
    if (at == std::string_view::npos || at == 0) return std::nullopt;
    end = at;
    const std::string_view behind = text.substr(at + 4, 24);
    const bool verdict = begins_with_word(behind, "correct") || begins_with_word(behind, "right") ||
                         begins_with_word(behind, "the correct") || begins_with_word(behind, "the right") ||
                         begins_with_word(behind, "the best") || begins_with_word(behind, "the answer");
    const size_t letter = at - (text[at - 1] == ')' && at > 1 ? 2 : 1);
    const char before = letter > 0 ? text[letter - 1] : ' ';
    if (verdict && is_choice(text[letter]) && is_upper(text[letter]) && (is_space(before) || is_any_of(before, "(*")))
      return text.substr(letter, 1);
  }
}

// The last "(B)" of the text.
Place last_in_parentheses(std::string_view text) {
  for (size_t at = text.size(); at-- > 2;)
    if (text[at] == ')' && is_upper(text[at - 1]) && is_choice(text[at - 1]) && text[at - 2] == '(')
      return text.substr(at - 1, 1);
  return std::nullopt;
}

std::string_view last_line(std::string_view text) {
  text = trimmed(text);
  const size_t line = text.rfind('\n');
  return line == std::string_view::npos ? text : text.substr(line + 1);
}

}  // namespace

Place choice_letter(std::string_view answer) {
  const size_t at = skip_opening(answer);
  if (at >= answer.size() || !is_choice(answer[at])) return std::nullopt;
  size_t next = at + 1;
  while (next < answer.size() && is_any_of(answer[next], "})]*_$\"'`")) ++next;
  const bool marked = is_any_of(char_at(answer, next), ".:,") || (next > at + 1 && answer[at + 1] == ')');
  if (marked && is_any_of(char_at(answer, next), ".:,")) ++next;
  const bool ends = skip_spaces(answer, next) == answer.size();
  // "B. Paris", "(B) Paris", "**B** Paris"; but neither "A dog" nor "Berlin" nor "b + 1".
  const bool followed_by_words = next < answer.size() && is_space(answer[next]) && (marked || next > at + 1);
  if (!ends && !followed_by_words) return std::nullopt;
  return answer.substr(at, 1);
}

Place last_choice(std::string_view text) {
  std::string_view box;
  if (last_box(text, box) == BoxSearch::Found)
    if (const Place letter = choice_letter(box)) return letter;
  for (const auto rule : {last_tag, last_phrase})
    if (const Place answer = rule(text))
      if (const Place letter = choice_letter(*answer)) return letter;
  if (const Place letter = choice_letter(last_line(text))) return letter;
  if (const Place letter = letter_before_verdict(text)) return letter;
  return last_in_parentheses(text);
}

}  // namespace thinktune::reward
