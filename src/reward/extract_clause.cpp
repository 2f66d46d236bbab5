// The answer behind a mark such as "The answer is": where it ends, and whether it is one.
#include <array>

#include "reward/extract.h"
#include "reward/formulas.h"

namespace thinktune::reward {
namespace {

constexpr size_t kMaxAnswerWords = 6;

template <size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  for (const std::string_view w : words)
    if (same_letters(word, w)) return true;
  return false;
}

std::string_view word_at(std::string_view text, size_t at) {
  size_t end = at;
  while (is_letter(char_at(text, end))) ++end;
  return text.substr(at, end - at);
}

// Behind such a word stands a reason or a remark, and no longer the answer.
bool begins_remark(std::string_view word) {
  static constexpr std::array<std::string_view, 16> kWords = {
      "because", "since", "which",   "as",   "so",    "when",      "where",   "but",
      "while",   "not",   "instead", "thus", "hence", "therefore", "rounded", "meaning"};
  return is_one_of(word, kWords);
}

// Words between "is" and the answer.
bool leads_to_answer(std::string_view word) {
  static constexpr std::array<std::string_view, 33> kWords = {"about",     "approximately",
                                                              "roughly",   "around",
                                                              "exactly",   "equal",
                                                              "equals",    "to",
                                                              "simply",    "just",
                                                              "therefore", "thus",
                                                              "so",        "then",
                                                              "indeed",    "clearly",
                                                              "given",     "by",
                                                              "that",      "is",
                                                              "are",       "be",
                                                              "a",         "an",
                                                              "the",       "total",
                                                              "of",        "found",
                                                              "there",     "we",
                                                              "get",       "have",
                                                              "obviously"};
  return is_one_of(word, kWords);
}

// "The answer is correct" names none.
bool is_no_answer(std::string_view clause) {
  static constexpr std::array<std::string_view, 7> kWords = {"correct",  "incorrect", "wrong", "right",
                                                             "obtained", "not",       "as"};
  return is_one_of(word_at(clause, 0), kWords);
}

// Whether the period at `at` ends a sentence: not in "3.5", "5 p.m. on", "Mrs. Hill", "12 sq. ft".
bool ends_sentence(std::string_view text, size_t at) {
  const char next = char_at(text, at + 1);
  if (is_digit(next) || is_letter(next) || next == '.' || (at > 0 && text[at - 1] == '.')) return false;
  size_t begin = at;
  while (begin > 0 && is_letter(text[begin - 1])) --begin;
  const std::string_view word = text.substr(begin, at - begin);
  if (word.size() == 1 && begin > 0 && text[begin - 1] == '.' && is_lower(char_at(text, at + 2))) return false;
  static constexpr std::array<std::string_view, 8> kShort = {"dr", "mr", "mrs", "ms", "st", "sq", "cu", "approx"};
  return !is_one_of(word, kShort);
}

// End of the words from `at` on: their line, sentence, or the remark that follows them. Formulas are passed over.
size_t clause_end(std::string_view text, size_t at) {
  Formulas formulas(text);
  for (size_t i = at; i < text.size();) {
    const char c = text[i];
    if (c == '\n' || c == '?') return i;
    if (c == '.' && ends_sentence(text, i)) return i;
    if (c == ' ' && i > at) {
      const bool open = char_at(text, i + 1) == '(';
      const std::string_view word = word_at(text, i + (open ? 2 : 1));
      if (begins_remark(word) || (open && word.size() > 3 && is_lower(word.front()))) return i;
    }
    if (const auto formula = formulas.at(i))
      i = formula->end;
    else
      i += c == '\\' ? 2 : 1;
  }
  return text.size();
}

// What the words of a clause are made of.
struct Shape {
  size_t num_words = 0;    // of two letters or more, outside formulas
  size_t num_numbers = 0;  // outside formulas
  size_t num_formulas = 0;
  bool has_command = false;
  std::string_view formula;  // the last one's content
};

Shape shape_of(std::string_view clause) {
  Shape shape;
  Formulas formulas(clause);
  for (size_t i = 0; i < clause.size();) {
    if (const auto formula = formulas.at(i)) {
      ++shape.num_formulas;
      shape.formula = formula->content;
      i = formula->end;
    } else if (clause[i] == '\\') {
      shape.has_command = true;
      i += 1 + word_at(clause, i + 1).size();
    } else if (const size_t length = literal_length(clause, i)) {
      ++shape.num_numbers;
      i += length;
    } else if (is_letter(clause[i])) {
      const size_t word = word_at(clause, i).size();
      shape.num_words += word >= 2;
      i += word;
    } else {
      ++i;
    }
  }
  return shape;
}

std::string_view without_leading_words(std::string_view clause) {
  for (;;) {
    const std::string_view word = word_at(clause, 0);
    const size_t next = word.size() + (char_at(clause, word.size()) == ',' || char_at(clause, word.size()) == ':');
    if (word.empty() || char_at(clause, next) != ' ' || !leads_to_answer(word)) return clause;
    const std::string_view rest = trimmed(clause.substr(next));
    if (rest.empty() || (word == "a" && !is_letter(rest.front()) && !is_digit(rest.front()))) return clause;  // "a + b"
    clause = rest;
  }
}

bool says_something(std::string_view clause) {
  for (const char c : clause)
    if (is_letter(c) || is_digit(c) || c == '\\' || static_cast<unsigned char>(c) >= 0x80) return true;
  return false;
}

bool starts_with_answer(std::string_view clause) {
  const std::string_view word = word_at(clause, 0);
  return word.size() < 2;  // a number, a sign, a formula, "x = …"
}

// Whether anything but "I hope it is correct." stands behind the clause.
bool is_followed(std::string_view behind) {
  size_t at = 0;
  while (at < behind.size() && !is_letter(behind[at]) && !is_digit(behind[at]) && behind[at] != '\\' &&
         behind[at] != '$')
    ++at;
  return at < behind.size() && !begins_with_word(behind.substr(at), "i hope");
}

std::string_view without_outer_marks(std::string_view text) {
  for (size_t before = std::string_view::npos; before != text.size();) {
    before = text.size();
    text = trimmed(text);
    if (text.starts_with("**")) text.remove_prefix(2);
    if (text.ends_with("**")) text.remove_suffix(2);
    if (text.size() >= 2 && text.front() == text.back() && is_any_of(text.front(), "*_`\"'")) {
      text.remove_prefix(1);
      text.remove_suffix(1);
    }
    // "0.33..." is not 0.33.
    if (!text.empty() && is_any_of(text.back(), ".,;:") && !text.ends_with("..")) text.remove_suffix(1);
  }
  return text;
}

// "120" of "the volume of $ABC$ is 120".
Place behind_verb(std::string_view clause) {
  const size_t verb = clause.rfind(" is ");
  if (verb == std::string_view::npos) return std::nullopt;
  const std::string_view said = without_leading_words(without_marks(clause.substr(verb + 4)));
  if (!says_something(said) || !starts_with_answer(said)) return std::nullopt;
  return last_side(said);
}

Place answer_of(std::string_view clause, bool prose_counts) {
  clause = without_leading_words(clause);
  if (!says_something(clause) || is_no_answer(clause)) return std::nullopt;
  const Shape shape = shape_of(clause);
  if (shape.num_numbers + shape.num_formulas == 0 && !shape.has_command) {
    if (shape.num_words > (prose_counts ? kMaxAnswerWords : 3)) return std::nullopt;
    return clause;
  }
  if (starts_with_answer(clause)) {
    if (!prose_counts && shape.num_words > 3) return std::nullopt;
    return last_side(clause);
  }
  if (!prose_counts) return std::nullopt;
  if (const Place said = behind_verb(clause)) return said;
  if (shape.num_formulas == 1 && shape.num_numbers == 0) return last_side(without_marks(shape.formula));
  if (shape.num_formulas == 0 && shape.num_numbers == 1)
    if (const Place number = last_number(clause)) return number;
  return shape.num_words <= kMaxAnswerWords ? Place(clause) : std::nullopt;
}

// "18" of "18, in \boxed{}" and of "\boxed{} 18"; nothing of "within \boxed{}" and "n = \boxed{}".
std::string_view without_empty_box(std::string_view clause) {
  const Place box = last_empty_box(clause);
  if (!box) return clause;
  std::string_view before = trimmed(clause.substr(0, static_cast<size_t>(box->data() - clause.data())));
  const std::string_view behind = from(clause, static_cast<size_t>(box->data() - clause.data()) + box->size());
  for (const std::string_view word : {"in", "within", "inside"})
    if (before.ends_with(word) && !is_letter(char_at(before, before.size() - word.size() - 1)))
      before.remove_suffix(word.size());
  before = without_leading_words(without_marks(before));
  return starts_with_answer(before) && says_something(before) && !before.ends_with('=') ? before : behind;
}

}  // namespace

std::string_view without_marks(std::string_view text) {
  constexpr int kMaxNesting = 4;
  for (int i = 0; i < kMaxNesting; ++i) {
    text = without_outer_marks(text);
    const auto formula = formula_at(text, 0);
    if (!formula || formula->end != text.size()) break;
    text = formula->content;
  }
  return text;
}

Place clause_answer(std::string_view text, bool weak) {
  size_t at = 0, num_lines = 0;
  while (at < text.size() && (is_space(text[at]) || is_any_of(text[at], "*_:>"))) {
    num_lines += text[at] == '\n';
    if (num_lines > 2) return std::nullopt;
    ++at;
  }
  if (at == text.size()) return std::nullopt;
  const size_t end = clause_end(text, at);
  std::string_view clause = trimmed(text.substr(at, end - at));
  while (clause.ends_with('!')) clause.remove_suffix(1);  // joy: a factorial stands in a formula
  const bool prose_counts = !weak || !is_followed(text.substr(end));
  return answer_of(without_marks(without_empty_box(clause)), prose_counts);
}

}  // namespace thinktune::reward
