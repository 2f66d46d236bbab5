#include "eval/finders.h"

#include <algorithm>

namespace thinktune::eval {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

bool starts_with_ignoring_case(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::equal(lower_case.begin(), lower_case.end(), text.begin(), [](char l, char t) { return l == lower(t); });
}

size_t skip_while(std::string_view text, size_t at, bool (*wanted)(char)) {
  while (at < text.size() && wanted(text[at])) ++at;
  return at;
}

// The place behind each "answer", spaces, ":", spaces. Calls `match(place)`; stops where it returns true.
template <class Match>
void for_each_answer_colon(std::string_view text, bool (*space)(char), Match match) {
  constexpr std::string_view kWord = "answer";
  for (size_t at = 0; at + kWord.size() < text.size(); ++at) {
    if (!starts_with_ignoring_case(text.substr(at), kWord)) continue;
    size_t place = skip_while(text, at + kWord.size(), space);
    if (place >= text.size() || text[place] != ':') continue;
    place = skip_while(text, place + 1, space);
    if (match(place)) return;
  }
}

std::string_view rest_of_line(std::string_view text, size_t at) {
  return text.substr(at, std::min(text.find('\n', at), text.size()) - at);
}

// The last place of any choice in the text, both without case and punctuation; its letter. As a regular expression's
// alternatives, the first choice that fits at a place is taken and the search goes on behind it.
std::optional<std::string> last_choice_text(std::string_view text, const std::vector<std::string>& choices) {
  const std::string plain = without_case_and_punctuation(text);
  std::vector<std::string> plain_choices;
  for (const std::string& choice : choices) plain_choices.push_back(without_case_and_punctuation(trim(choice)));
  std::optional<std::string> found;
  for (size_t at = 0; at < plain.size();) {
    size_t length = 0;
    for (size_t i = 0; i < plain_choices.size() && length == 0; ++i) {
      const std::string& choice = plain_choices[i];
      if (choice.empty() || plain.compare(at, choice.size(), choice) != 0) continue;
      length = choice.size();
      found = std::string(1, static_cast<char>('A' + i));
    }
    at += std::max<size_t>(1, length);
  }
  return found;
}

}  // namespace

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

std::string without_case_and_punctuation(std::string_view text) {
  std::string plain;
  for (const char c : text)
    if (!is_punctuation(c)) plain += lower(c);
  return plain;
}

std::optional<std::string> first_hashes(std::string_view text) {
  constexpr std::string_view kMark = "#### ";
  for (size_t at = text.find(kMark); at != std::string_view::npos; at = text.find(kMark, at + 1)) {
    const size_t begin = at + kMark.size();
    const size_t digits = begin + (begin < text.size() && text[begin] == '-' ? 1 : 0);
    const size_t end = skip_while(text, digits, [](char c) { return is_digit(c) || c == '.' || c == ','; });
    if (end > digits) return std::string(text.substr(begin, end - begin));
  }
  return std::nullopt;
}

std::optional<std::string> last_numeral(std::string_view text) {
  std::optional<std::string> found;
  for (size_t at = 0; at < text.size();) {
    const size_t body = at + (text[at] == '-' ? 1 : 0);
    size_t end = skip_while(text, body, [](char c) { return is_digit(c) || c == '$' || c == '.' || c == ','; });
    const bool is_match = end - body >= 2 || (end - body == 1 && is_digit(text[body]));
    if (is_match) found = std::string(text.substr(at, end - at));
    at = is_match ? end : at + 1;
  }
  return found;
}

std::optional<std::string> minerva_sentence(std::string_view text) {
  constexpr std::string_view kBegin = "Final Answer: The final answer is", kEnd = " I hope it is correct";
  // The protocol appends the sentence's end to the text, for responses that a stop text has cut before it.
  const std::string whole = std::string(text) + "I hope it is correct.";
  text = whole;
  for (size_t at = 0; at < text.size();) {
    const std::string_view line = rest_of_line(text, at);
    at += line.size() + 1;
    const size_t begin = line.find(kBegin);
    if (begin == std::string_view::npos) continue;
    // One character, any, stands before the end and one behind it.
    const size_t end = line.find(kEnd, begin + kBegin.size() + 1);
    if (end == std::string_view::npos || end + kEnd.size() >= line.size()) continue;
    return trim(line.substr(begin + kBegin.size(), end - 1 - (begin + kBegin.size())));
  }
  return std::nullopt;
}

std::optional<std::string> the_answer_is(std::string_view text) {
  constexpr std::string_view kBegin = "The answer is ";
  for (size_t at = text.find(kBegin); at != std::string_view::npos; at = text.find(kBegin, at + 1)) {
    const std::string_view line = rest_of_line(text, at + kBegin.size());
    if (!line.empty()) return std::string(line.substr(0, line.size() - 1));
  }
  return std::nullopt;
}

std::optional<std::string> parenthesised_letter(std::string_view text, const std::vector<std::string>& choices) {
  for (size_t at = text.rfind('('); at != std::string_view::npos; at = at == 0 ? at - 1 : text.rfind('(', at - 1))
    if (at + 2 < text.size() && text[at + 1] >= 'A' && text[at + 1] <= 'Z' && text[at + 2] == ')')
      return std::string(text.substr(at, 3));
  if (const auto letter = last_choice_text(text, choices)) return letter;
  std::optional<std::string> found;
  for (size_t at = text.find(':'); at != std::string_view::npos; at = text.find(':', at + 1)) {
    const size_t place = skip_while(text, at + 1, is_space);
    if (place < text.size() && text[place] >= 'A' && text[place] < 'A' + std::ssize(choices))
      found = std::string(1, text[place]);
  }
  return found;
}

std::optional<std::string> first_answer_line(std::string_view text) {
  std::optional<std::string> found;
  for_each_answer_colon(text, is_space, [&](size_t place) {
    const std::string_view line = rest_of_line(text, place);
    if (!line.empty()) found = std::string(line);
    return found.has_value();
  });
  return found;
}

std::optional<std::string> last_answer_line(std::string_view text) {
  size_t last = text.size();
  for_each_answer_colon(text, is_space, [&](size_t place) {
    if (place < text.size()) last = place;
    return false;
  });
  if (last == text.size()) return std::nullopt;
  return std::string(rest_of_line(text, last));
}

std::optional<std::string> first_answer_letter(std::string_view text) {
  std::optional<std::string> found;
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  for_each_answer_colon(text, is_blank, [&](size_t place) {
    place += place < text.size() && text[place] == '$' ? 1 : 0;
    if (place < text.size() && lower(text[place]) >= 'a' && lower(text[place]) <= 'd')
      found = std::string(1, text[place]);
    return found.has_value();
  });
  return found;
}

}  // namespace thinktune::eval
