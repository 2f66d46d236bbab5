// Finds the final answer: the last box, or the last number. One pass each, whatever a model wrote.
#include "reward/extract.h"

#include <algorithm>

#include "reward/decimal.h"
#include "thinktune/reward/reward.h"

namespace thinktune::reward {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Position of the brace that closes the one at `open`, npos if none does.
size_t closing_brace(std::string_view text, size_t open) {
  size_t depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;  // \{ and \} are text, and so is the backslash of "\\"
    else if (text[i] == '{')
      ++depth;
    else if (text[i] == '}' && --depth == 0)
      return i;
  }
  return std::string_view::npos;
}

// The argument of "\boxed 5" or "\boxed -5": a number, a fraction, or a run of letters; empty for anything else, such
// as a sentence that speaks of \boxed.
std::string_view bare_argument(std::string_view text) {
  size_t at = 0;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) ++at;
  if (const size_t length = number_length(text, at, true)) return text.substr(0, at + length);
  if (at > 0) return {};
  while (at < text.size() && is_letter(text[at])) ++at;
  return at == 1 ? text.substr(0, 1) : std::string_view{};  // a choice letter; a longer run is prose: "\boxed notation"
}

// Digits in one or two braces or bare, as \frac takes them: "{3}{4}", "34". Length, 0 if it is something else.
size_t fraction_arguments(std::string_view text) {
  size_t at = 0;
  for (int argument = 0; argument < 2; ++argument) {
    if (at < text.size() && is_digit(text[at])) {
      ++at;
      continue;
    }
    if (at >= text.size() || text[at] != '{') return 0;
    ++at;
    if (at < text.size() && text[at] == '-') ++at;
    const size_t length = number_length(text, at, true);
    if (length == 0 || at + length >= text.size() || text[at + length] != '}') return 0;
    at += length + 1;
  }
  return at;
}

// Length of \frac, \dfrac or \tfrac with its two numbers, 0 if there is none at `at`.
size_t fraction_length(std::string_view text, size_t at) {
  for (const std::string_view command : {"\\frac", "\\dfrac", "\\tfrac"}) {
    if (!text.substr(at).starts_with(command)) continue;
    const size_t arguments = fraction_arguments(text.substr(at + command.size()));
    return arguments == 0 ? 0 : command.size() + arguments;
  }
  return 0;
}

// Where a number that begins with the digits at `at` begins with its sign and money sign.
size_t with_sign(std::string_view text, size_t at) {
  size_t begin = at;
  if (begin > 0 && text[begin - 1] == '$') begin -= begin > 1 && text[begin - 2] == '\\' ? 2 : 1;
  constexpr std::string_view kMinus = "−";
  size_t sign = begin;
  if (begin > 0 && text[begin - 1] == '-')
    sign = begin - 1;
  else if (text.substr(0, begin).ends_with(kMinus))
    sign = begin - kMinus.size();
  if (sign == begin) return at;
  // Behind an operand it is a subtraction: "10-3" ends in 3.
  const char before = sign > 0 ? text[sign - 1] : ' ';
  return is_digit(before) || is_letter(before) || before == ')' || before == '}' ? at : sign;
}

// Behind "/b" at `at`, or `at` itself. A date has two slashes and is no fraction.
size_t behind_slash(std::string_view text, size_t at) {
  if (at >= text.size() || text[at] != '/') return at;
  const size_t length = number_length(text, at + 1, true);
  const size_t behind = at + 1 + length;
  return length == 0 || (behind < text.size() && text[behind] == '/') ? at : behind;
}

// Behind "^3", "^{-3}" at `at`, or `at` itself.
size_t behind_power(std::string_view text, size_t at) {
  if (at >= text.size() || text[at] != '^') return at;
  size_t digits = at + 1;
  const bool braced = digits < text.size() && text[digits] == '{';
  if (braced) ++digits;
  if (digits < text.size() && text[digits] == '-') ++digits;
  const size_t behind = digits + number_length(text, digits, false);
  if (behind == digits) return at;
  if (!braced) return behind;
  return behind < text.size() && text[behind] == '}' ? behind + 1 : at;
}

// Behind " \times 10^3" at `at`, or `at` itself.
size_t behind_power_of_ten(std::string_view text, size_t at) {
  const auto space = [&](size_t i) { return i < text.size() && text[i] == ' ' ? i + 1 : i; };
  const size_t sign = space(at);
  for (const std::string_view times : {"\\times", "\\cdot", "×", "·", "*", "x"}) {
    if (!text.substr(std::min(sign, text.size())).starts_with(times)) continue;
    const size_t ten = space(sign + times.size());
    if (!text.substr(std::min(ten, text.size())).starts_with("10^")) return at;
    const size_t behind = behind_power(text, ten + 2);
    return behind == ten + 2 ? at : behind;
  }
  return at;
}

// End of what begins with the number [at, end): "3/4", "2 1/2", "2\frac{1}{2}", "10^3", "5\times10^{3}".
size_t with_tail(std::string_view text, size_t at, size_t end) {
  if (at > 0 && text[at - 1] == '/') return end;  // the end of a date
  for (const auto behind : {behind_slash, behind_power, behind_power_of_ten})
    if (const size_t tail = behind(text, end); tail != end) return tail;
  if (text.substr(at, end - at).find_first_of(".eE") != std::string_view::npos || end == text.size()) return end;
  if (const size_t length = fraction_length(text, end)) return end + length;
  if (text[end] == ' ') {
    const size_t part = end + 1 + number_length(text, end + 1, false);
    if (part > end + 1 && behind_slash(text, part) != part) return behind_slash(text, part);
  }
  return end;
}

// A digit behind a letter, ^ or _ is part of a name, a power or an index: x2, x^2, x^{-2}, a_2. Behind a command it is
// not: \times5.
bool continues_a_name(std::string_view text, size_t at) {
  size_t letters = at;
  while (letters > 0 && is_letter(text[letters - 1])) --letters;
  if (letters < at) return letters == 0 || text[letters - 1] != '\\';
  if (at > 0 && text[at - 1] == '-') --at;
  if (at > 0 && text[at - 1] == '{') --at;
  return at > 0 && (text[at - 1] == '^' || text[at - 1] == '_');
}

}  // namespace

BoxSearch search_last_box(std::string_view text, std::string& content) {
  for (size_t at = text.rfind('\\'); at != std::string_view::npos; at = at == 0 ? at : text.rfind('\\', at - 1)) {
    for (const std::string_view command : {"\\boxed", "\\fbox"}) {
      if (!text.substr(at).starts_with(command)) continue;
      size_t argument = at + command.size();
      if (argument < text.size() && is_letter(text[argument])) continue;
      while (argument < text.size() && is_space(text[argument])) ++argument;
      if (argument < text.size() && text[argument] == '{') {
        const size_t close = closing_brace(text, argument);
        if (close == std::string_view::npos) return BoxSearch::NeverClosed;
        content = trimmed(text.substr(argument + 1, close - argument - 1));
        return BoxSearch::Found;
      }
      std::string_view bare = bare_argument(text.substr(argument));
      if (const size_t length = fraction_length(text, argument)) bare = text.substr(argument, length);
      if (bare.empty()) continue;
      content = bare;
      return BoxSearch::Found;
    }
    if (at == 0) break;
  }
  return BoxSearch::NoBox;
}

bool find_last_box(std::string_view text, std::string& content) {
  return search_last_box(text, content) == BoxSearch::Found;
}

bool find_last_number(std::string_view text, std::string& number) {
  std::string_view last;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + fraction_length(text, at);
    if (end == at) {
      end = at + number_length(text, at, true);
      if (end == at) {
        ++at;
        continue;
      }
      if (continues_a_name(text, at)) {
        at = end;
        continue;
      }
      end = with_tail(text, at, end);
    }
    const size_t begin = with_sign(text, at);
    last = text.substr(begin, end - begin);
    at = end;
  }
  if (last.empty()) return false;
  number = last;
  return true;
}

}  // namespace thinktune::reward
