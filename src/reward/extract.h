// The rules of extraction, one function each. What they find is a view into the text that they were given.
#pragma once

#include <optional>
#include <string_view>

#include "reward/characters.h"

namespace thinktune::reward {

using Place = std::optional<std::string_view>;

enum class BoxSearch { Found, NoBox, NeverClosed };

// The content of the last box that is not empty, else of the last one.
BoxSearch last_box(std::string_view text, std::string_view& content);

// Whether the text, or its last side ("n = \boxed{}"), is a box with nothing in it: no answer for any rule.
bool ends_in_empty_box(std::string_view text);

// The last box with nothing in it, from its backslash to its brace; nothing if there is none.
Place last_empty_box(std::string_view text);

// Behind the first box that is closed; npos if there is none.
size_t end_of_first_box(std::string_view text);

// Position of the brace that closes the one at `open`, npos if none does.
size_t closing_brace(std::string_view text, size_t open);

Place last_tag(std::string_view text);
Place last_hashes(std::string_view text);
Place last_phrase(std::string_view text);
Place last_choice(std::string_view text);
Place last_math(std::string_view text);
Place last_number(std::string_view text);

// Behind the first answer by such a mark (not beyond the end of its line); npos if there is none.
size_t end_of_first_tag(std::string_view text);
size_t end_of_first_hashes(std::string_view text);
size_t end_of_first_phrase(std::string_view text);

// The answer at the beginning of the text behind a mark such as "Answer:": the formula, or the words up to the end of
// their line, sentence or reason ("because …"). Nothing if that is prose. `weak`: the mark may also be a heading
// ("Answer: First we add …"), so that prose with numbers counts only at the end of the text.
Place clause_answer(std::string_view text, bool weak);

// Without the marks that people put around an answer: white space, **, quotes, `, and the period behind it; then, if
// all of it is one formula, without its delimiters.
std::string_view without_marks(std::string_view text);

// The formula at `at`: its content, and where it ends. Nothing if none begins there, it is never closed, or "$" is a
// money sign.
struct Formula {
  std::string_view content;
  size_t end = 0;
};
std::optional<Formula> formula_at(std::string_view text, size_t at);

// The letter of "B", "(B)", "b)", "B. Paris", "**B**", "$\text{(B)}$"; nothing for anything else.
Place choice_letter(std::string_view answer);

// Length of the unsigned number at `at`, 0 if there is none: digits with thousands separators in well-formed groups
// ("," "{,}" ",\!" "\,"), an optional fraction (".5" too) and an optional exponent ("1e3").
size_t literal_length(std::string_view text, size_t at);

// Length of \frac, \dfrac or \tfrac with its two numbers, 0 if there is none at `at`.
size_t fraction_length(std::string_view text, size_t at);

}  // namespace thinktune::reward
