// Marked answers: "the answer is …", #### …, <answer>…</answer>.
#include <algorithm>

#include "reward/extract.h"

namespace thinktune::reward {
namespace {

constexpr size_t kMaxWordsToIs = 100;  // bytes between "the answer to …" and its "is"

struct Mark {
  size_t behind = 0;
  bool weak = false;  // as in clause_answer
};

// Length of the verb at `at` with what belongs to it, 0 if there is none.
size_t verb_length(std::string_view text, size_t at) {
  for (const std::string_view verb :
       {"is", "are", "was", "will be", "would be", "must be", "should be", "equals", "comes to", "=", "："}) {
    if (!begins_with_word(from(text, at), verb) || is_letter(char_at(text, at + verb.size()))) continue;
    return verb.size();
  }
  return 0;
}

// "the answer to this question is": behind the verb, 0 if there is none in the sentence.
size_t behind_distant_verb(std::string_view text, size_t at) {
  const size_t limit = std::min(text.size(), at + kMaxWordsToIs);
  for (size_t i = at; i < limit; ++i) {
    if (text[i] == '\n' || text[i] == '?' || text[i] == '.') return 0;
    if (text[i] == ':') return i + 1;
    if (text[i] != ' ') continue;
    for (const std::string_view verb : {" is ", " is:", " are "})
      if (from(text, i).starts_with(verb)) return i + verb.size();
  }
  return 0;
}

// Whether the line has nothing before `at` but markup and "The final", "Correct" and the like.
bool is_heading(std::string_view text, size_t at) {
  constexpr size_t kLongest = 24;
  size_t num_words = 0;
  for (size_t i = at; i > 0 && text[i - 1] != '\n'; --i) {
    if (at - i >= kLongest) return false;
    const char c = text[i - 1];
    num_words += is_letter(c) && (i < 2 || !is_letter(text[i - 2]));
    if (c == '.' || c == ',' || num_words > 2) return false;
  }
  return true;
}

bool follows_word(std::string_view text, size_t at, std::string_view word) {
  return at >= word.size() && begins_with_word(text.substr(at - word.size()), word);
}

// The mark whose word ("answer", "option", "choice") begins at `at`.
std::optional<Mark> mark_at(std::string_view text, size_t at) {
  if (at > 0 && is_letter(text[at - 1])) return std::nullopt;
  const std::string_view here = text.substr(at);
  const bool is_answer = begins_with_word(here, "answer");
  if (!is_answer && !begins_with_word(here, "option") && !begins_with_word(here, "choice")) return std::nullopt;
  if (!is_answer && !follows_word(text, at, "correct ") && !follows_word(text, at, "right ") &&
      !follows_word(text, at, "best "))
    return std::nullopt;
  size_t next = at + 6;
  if (lower(char_at(text, next)) == 's') ++next;
  if (is_letter(char_at(text, next))) return std::nullopt;
  while (next < text.size() && is_any_of(text[next], "*_ \t)`")) ++next;
  const char c = char_at(text, next);
  if (c == ':') {
    if (const size_t verb = verb_length(text, next)) return Mark{next + verb};
    return Mark{next + 1, !follows_word(text, at, "final ") && !follows_word(text, at, "correct ")};
  }
  if (const size_t verb = verb_length(text, next)) return Mark{next + verb};
  if (const size_t formula = c == '$' || c == '\\' ? next : 0) return Mark{formula, true};
  if (c == '\n' && is_heading(text, at)) return Mark{next, !follows_word(text, at, "final ")};
  if (begins_with_word(from(text, next), "to ") || begins_with_word(from(text, next), "for "))
    if (const size_t behind = behind_distant_verb(text, next)) return Mark{behind};
  return std::nullopt;
}

bool may_begin_mark(char c) { return c == 'a' || c == 'A' || c == 'o' || c == 'O' || c == 'c' || c == 'C'; }

// Whether the line is a heading of prose, and no answer.
bool is_prose_line(std::string_view line, bool followed) {
  size_t num_words = 0;
  for (size_t i = 0; i < line.size(); ++i)
    num_words += is_letter(line[i]) && is_letter(char_at(line, i + 1)) &&
                 (i == 0 || (!is_letter(line[i - 1]) && line[i - 1] != '\\'));
  return num_words > (followed ? 1 : 4);
}

// The answer behind the "####" at `at`; `end` is where the next one, or the text, ends it.
Place hashes_at(std::string_view text, size_t at, size_t end) {
  if (at > 0 && text[at - 1] == '#') return std::nullopt;
  const size_t line_end = std::min(end, text.substr(0, end).find('\n', at));
  const std::string_view line = trimmed(text.substr(at + 4, line_end - at - 4));
  if (line.empty() || line.front() == '#') return std::nullopt;
  if (const Place answer = last_phrase(line)) return answer;
  const std::string_view answer = without_marks(line);
  if (answer.empty() || is_prose_line(answer, skip_spaces(text, line_end) < text.size())) return std::nullopt;
  return answer;
}

}  // namespace

// From the back; the words behind a mark end where the next mark begins, so no text is read twice.
Place last_phrase(std::string_view text) {
  size_t end = text.size();
  for (size_t at = text.size(); at-- > 0;) {
    if (!may_begin_mark(text[at])) continue;
    const auto mark = mark_at(text, at);
    if (!mark) continue;
    if (mark->behind <= end)
      if (const Place answer = clause_answer(text.substr(mark->behind, end - mark->behind), mark->weak)) return answer;
    end = at;
  }
  return std::nullopt;
}

size_t end_of_first_phrase(std::string_view text) {
  std::optional<Mark> previous;
  for (size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && !may_begin_mark(text[at])) continue;
    const auto mark = at < text.size() ? mark_at(text, at) : std::nullopt;
    if (!mark && at < text.size()) continue;
    if (previous && previous->behind <= at)
      if (const Place answer = clause_answer(text.substr(previous->behind, at - previous->behind), previous->weak))
        return static_cast<size_t>(answer->data() - text.data()) + answer->size();
    previous = mark;
  }
  return std::string_view::npos;
}

Place last_hashes(std::string_view text) {
  for (size_t end = text.size(), at = text.rfind("####"); at != std::string_view::npos;) {
    if (const Place answer = hashes_at(text, at, end)) return answer;
    end = at;
    at = at == 0 ? std::string_view::npos : text.rfind("####", at - 1);
  }
  return std::nullopt;
}

size_t end_of_first_hashes(std::string_view text) {
  for (size_t at = text.find("####"); at != std::string_view::npos;) {
    const size_t next = text.find("####", at + 1);
    if (const Place answer = hashes_at(text, at, std::min(next, text.size())))
      return static_cast<size_t>(answer->data() - text.data()) + answer->size();
    at = next;
  }
  return std::string_view::npos;
}

Place last_tag(std::string_view text) {
  constexpr std::string_view kOpen = "<answer>", kClose = "</answer>";
  const size_t close = text.rfind(kClose);
  const size_t open = close == std::string_view::npos ? close : text.substr(0, close).rfind(kOpen);
  if (open == std::string_view::npos) return std::nullopt;
  const std::string_view inside = trimmed(text.substr(open + kOpen.size(), close - open - kOpen.size()));
  if (inside.empty()) return std::nullopt;
  std::string_view box;
  if (last_box(inside, box) == BoxSearch::Found) return box;
  if (const Place answer = last_phrase(inside)) return answer;
  if (inside.find('\n') == std::string_view::npos)
    if (const Place answer = clause_answer(inside, false)) return answer;
  return without_marks(inside);
}

size_t end_of_first_tag(std::string_view text) {
  const size_t open = text.find("<answer>");
  const size_t close = open == std::string_view::npos ? open : text.find("</answer>", open);
  return close == std::string_view::npos ? close : close + 9;
}

}  // namespace thinktune::reward
