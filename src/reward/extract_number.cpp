// The last number of a text, as it is written.
#include <algorithm>

#include "reward/extract.h"

namespace thinktune::reward {
namespace {

constexpr size_t kMaxExponentDigits = 9;
constexpr std::string_view kMinus = "−";

size_t skip_digits(std::string_view text, size_t at) {
  while (is_digit(char_at(text, at))) ++at;
  return at;
}

// Length of the thousands separator at `at`, 0 if there is none. MATH writes "11,\! 111": the spaces behind \! are part
// of it.
size_t separator_length(std::string_view text, size_t at) {
  const std::string_view rest = from(text, at).substr(0, 12);
  if (rest.starts_with(",\\!")) {
    const size_t next = rest.find_first_not_of(' ', 3);
    return next == std::string_view::npos ? rest.size() : next;
  }
  if (rest.starts_with("{,}")) return 3;
  if (rest.starts_with("\\,")) return 2;
  return rest.starts_with(",") ? 1 : 0;
}

size_t skip_groups(std::string_view text, size_t at) {
  while (const size_t separator = separator_length(text, at)) {
    const size_t group = at + separator;
    if (skip_digits(text.substr(0, std::min(text.size(), group + 4)), group) != group + 3) break;
    at = group + 3;
  }
  return at;
}

// Behind "e3" or "E-3"; `at` itself if there is no exponent.
size_t skip_exponent(std::string_view text, size_t at) {
  if (lower(char_at(text, at)) != 'e') return at;
  const size_t first = at + (char_at(text, at + 1) == '+' || char_at(text, at + 1) == '-' ? 2 : 1);
  const size_t end = skip_digits(text.substr(0, std::min(text.size(), first + kMaxExponentDigits + 1)), first);
  return end == first || end > first + kMaxExponentDigits || is_letter(char_at(text, end)) ? at : end;
}

// Digits in one or two braces or bare, as \frac takes them: "{3}{4}", "34". Length, 0 if it is something else.
size_t fraction_arguments(std::string_view text) {
  size_t at = 0;
  for (int argument = 0; argument < 2; ++argument) {
    if (is_digit(char_at(text, at))) {
      ++at;
      continue;
    }
    if (char_at(text, at) != '{') return 0;
    ++at;
    if (char_at(text, at) == '-') ++at;
    const size_t length = literal_length(text, at);
    if (length == 0 || char_at(text, at + length) != '}') return 0;
    at += length + 1;
  }
  return at;
}

// Where a number that begins with the digits at `at` begins with its sign and money sign.
size_t with_sign(std::string_view text, size_t at) {
  size_t begin = at;
  if (begin > 0 && text[begin - 1] == '$') begin -= begin > 1 && text[begin - 2] == '\\' ? 2 : 1;
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
  if (char_at(text, at) != '/') return at;
  const size_t length = literal_length(text, at + 1);
  return length == 0 || char_at(text, at + 1 + length) == '/' ? at : at + 1 + length;
}

// Behind "^3", "^{-3}" at `at`, or `at` itself.
size_t behind_power(std::string_view text, size_t at) {
  if (char_at(text, at) != '^') return at;
  const bool braced = char_at(text, at + 1) == '{';
  size_t digits = at + (braced ? 2 : 1);
  if (char_at(text, digits) == '-') ++digits;
  const size_t behind = digits + literal_length(text, digits);
  if (behind == digits) return at;
  if (!braced) return behind;
  return char_at(text, behind) == '}' ? behind + 1 : at;
}

// Behind " \times 10^3" at `at`, or `at` itself.
size_t behind_power_of_ten(std::string_view text, size_t at) {
  const auto behind_space = [&](size_t i) { return char_at(text, i) == ' ' ? i + 1 : i; };
  const size_t sign = behind_space(at);
  for (const std::string_view times : {"\\times", "\\cdot", "×", "·", "*", "x"}) {
    if (!from(text, sign).starts_with(times)) continue;
    const size_t ten = behind_space(sign + times.size());
    if (!from(text, ten).starts_with("10^")) return at;
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
    const size_t part = end + 1 + literal_length(text, end + 1);
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

size_t literal_length(std::string_view text, size_t at) {
  const size_t begin = at;
  at = skip_digits(text, at);
  const size_t num_digits = at - begin;
  const auto fraction_follows = [&] { return char_at(text, at) == '.' && is_digit(char_at(text, at + 1)); };
  if (num_digits == 0 && !fraction_follows()) return 0;
  if (num_digits >= 1 && num_digits <= 3 && text[begin] != '0') at = skip_groups(text, at);
  if (fraction_follows()) at = skip_digits(text, at + 1);
  return skip_exponent(text, at) - begin;
}

size_t fraction_length(std::string_view text, size_t at) {
  if (char_at(text, at) != '\\') return 0;
  for (const std::string_view command : {"\\frac", "\\dfrac", "\\tfrac"}) {
    if (!text.substr(at).starts_with(command)) continue;
    const size_t arguments = fraction_arguments(from(text, at + command.size()));
    return arguments == 0 ? 0 : command.size() + arguments;
  }
  return 0;
}

// "5 or 6" is no answer of 6: where "or" joins the last two numbers, both are found, and the comparison refuses them.
Place last_number(std::string_view text) {
  std::string_view last;
  size_t hedge = 0, end_of_last = 0;  // where a run of numbers with "or" between them begins
  for (size_t at = 0; at < text.size();) {
    size_t end = at + fraction_length(text, at);
    if (end == at) {
      end = at + literal_length(text, at);
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
    const bool joined =
        !last.empty() && begin >= end_of_last && text.substr(end_of_last, begin - end_of_last) == " or ";
    if (!joined) hedge = begin;
    last = text.substr(hedge, end - hedge);
    at = end_of_last = end;
  }
  if (last.empty()) return std::nullopt;
  return last;
}

}  // namespace thinktune::reward
