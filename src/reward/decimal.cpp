#include "reward/decimal.h"

#include <algorithm>
#include <vector>

namespace thinktune::reward {
namespace {

constexpr size_t kMaxExponentDigits = 9;  // sums of a few exponents stay far inside int64_t
constexpr size_t kMaxDigitProducts = 1'000'000;
constexpr size_t kMaxMixedDigits = 18;  // 10^18 · 10^18 + 10^18 fits 128 bits

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool digit_at(std::string_view text, size_t at) { return at < text.size() && is_digit(text[at]); }

size_t skip_digits(std::string_view text, size_t at) {
  while (digit_at(text, at)) ++at;
  return at;
}

// Length of the thousands separator at `at`, 0 if there is none. MATH writes "11,\! 111": the space behind \! is part
// of it.
size_t separator_length(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(std::min(at, text.size()), 12);
  if (rest.starts_with(",\\!")) {
    const size_t next = rest.find_first_not_of(' ', 3);
    return next == std::string_view::npos ? rest.size() : next;
  }
  // "{,}", and "14 {, }916", as some solutions have it.
  if (size_t open = rest.starts_with(" {") ? 1 : 0; rest.substr(open).starts_with("{")) {
    size_t next = open + 1;
    if (rest.substr(next).starts_with(" ")) ++next;
    if (!rest.substr(next).starts_with(",")) return 0;
    ++next;
    if (rest.substr(next).starts_with(" ")) ++next;
    return rest.substr(next).starts_with("}") ? next + 1 : 0;
  }
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
  if (at >= text.size() || (text[at] != 'e' && text[at] != 'E')) return at;
  size_t first = at + 1;
  if (first < text.size() && (text[first] == '+' || text[first] == '-')) ++first;
  const size_t end = skip_digits(text.substr(0, std::min(text.size(), first + kMaxExponentDigits + 1)), first);
  if (end == first || end > first + kMaxExponentDigits) return at;
  return end < text.size() && is_letter(text[end]) ? at : end;
}

void normalise(Decimal& d) {
  const size_t last = d.digits.find_last_not_of('0');
  if (last == std::string::npos) {
    d = Decimal{};
    return;
  }
  d.exponent += static_cast<int64_t>(d.digits.size() - 1 - last);
  d.digits.resize(last + 1);
  d.digits.erase(0, d.digits.find_first_not_of('0'));
}

bool to_integer(const Decimal& d, uint64_t& integer) {
  if (d.negative || d.exponent < 0 || d.exponent > static_cast<int64_t>(kMaxMixedDigits)) return false;
  if (d.digits.size() + static_cast<size_t>(d.exponent) > kMaxMixedDigits) return false;
  integer = 0;
  for (const char c : d.digits) integer = integer * 10 + static_cast<uint64_t>(c - '0');
  for (int64_t i = 0; i < d.exponent; ++i) integer *= 10;
  return true;
}

// |a| · |b| by the schoolbook; a column sums at most kMaxDigitProducts products of at most 81, which fits 32 bits.
Decimal multiply(const Decimal& a, const Decimal& b) {
  const size_t n = a.digits.size(), m = b.digits.size();
  std::vector<uint32_t> columns(n + m);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < m; ++j)
      columns[i + j + 1] += static_cast<uint32_t>((a.digits[i] - '0') * (b.digits[j] - '0'));
  Decimal product{false, std::string(n + m, '0'), a.exponent + b.exponent};
  uint32_t carry = 0;
  for (size_t i = n + m; i-- > 0;) {
    carry += columns[i];
    product.digits[i] = static_cast<char>('0' + carry % 10);
    carry /= 10;
  }
  normalise(product);
  return product;
}

}  // namespace

size_t number_length(std::string_view text, size_t at, bool grouped) {
  const size_t begin = at;
  at = skip_digits(text, at);
  const size_t num_digits = at - begin;
  if (num_digits == 0 && !(at < text.size() && text[at] == '.' && digit_at(text, at + 1))) return 0;
  if (grouped && num_digits >= 1 && num_digits <= 3 && text[begin] != '0') at = skip_groups(text, at);
  if (at < text.size() && text[at] == '.' && digit_at(text, at + 1)) at = skip_digits(text, at + 1);
  return skip_exponent(text, at) - begin;
}

Decimal read_decimal(std::string_view literal) {
  Decimal d;
  const size_t e = literal.find_first_of("eE");
  const std::string_view mantissa = literal.substr(0, e);
  d.digits.reserve(mantissa.size());
  bool in_fraction = false;
  for (const char c : mantissa) {
    if (c == '.') in_fraction = true;
    if (!is_digit(c)) continue;
    d.digits += c;
    if (in_fraction) --d.exponent;
  }
  if (e != std::string_view::npos) {
    int64_t exponent = 0;
    for (const char c : literal.substr(e + 1))
      if (is_digit(c)) exponent = exponent * 10 + (c - '0');
    d.exponent += literal[e + 1] == '-' ? -exponent : exponent;
  }
  normalise(d);
  return d;
}

bool add_mixed(const Decimal& whole, const Value& part, Value& sum) {
  uint64_t w = 0, n = 0, m = 0;
  if (!to_integer(whole, w) || !to_integer(part.numerator, n) || !to_integer(part.denominator, m) || n >= m)
    return false;
  unsigned __int128 total = static_cast<unsigned __int128>(w) * m + n;
  sum = Value{.denominator = part.denominator};
  for (; total > 0; total /= 10) sum.numerator.digits += static_cast<char>('0' + static_cast<int>(total % 10));
  std::reverse(sum.numerator.digits.begin(), sum.numerator.digits.end());
  normalise(sum.numerator);
  return true;
}

Sameness compare(const Value& a, const Value& b) {
  const auto verdict = [](bool same) { return same ? Sameness::Same : Sameness::Different; };
  if (a.denominator == b.denominator) return verdict(a.numerator == b.numerator);
  if (a.numerator.is_zero() || b.numerator.is_zero()) return verdict(a.numerator.is_zero() && b.numerator.is_zero());
  if (a.numerator.negative != b.numerator.negative) return Sameness::Different;
  if (std::max(a.numerator.digits.size() * b.denominator.digits.size(),
               b.numerator.digits.size() * a.denominator.digits.size()) > kMaxDigitProducts)
    return Sameness::TooLong;
  return verdict(multiply(a.numerator, b.denominator) == multiply(b.numerator, a.denominator));
}

}  // namespace thinktune::reward
