// Exact numbers of any length. A decimal is kept as its significant digits and a power of ten, so 1e999999999 costs as
// much as 1; a value is a quotient of two decimals. Every function is linear in the length of its input, or says what
// it refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace thinktune::reward {

// ± digits · 10^exponent in normal form: no zero at either end of `digits`; zero is "" · 10^0 and not negative. Two
// decimals are equal exactly if their fields are.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;

  bool is_zero() const { return digits.empty(); }
  bool operator==(const Decimal&) const = default;
};

struct Value {
  Decimal numerator;                   // carries the sign
  Decimal denominator{false, "1", 0};  // more than zero
};

// Length of the unsigned number that begins at `at`, 0 if none does: digits with an optional fraction (".5" too) and an
// optional exponent of at most nine digits ("1e3"). With `grouped`, thousands separators belong to it, but only in
// well-formed groups: one to three digits that do not begin with 0, then groups of exactly three. Separators: "," "{,}"
// ",\!" "\,".
size_t number_length(std::string_view text, size_t at, bool grouped);

// The number of a text that number_length measured.
Decimal read_decimal(std::string_view literal);

// whole + part; false unless `whole` is an integer and `part` a proper fraction of integers, neither negative, with at
// most 18 digits each.
bool add_mixed(const Decimal& whole, const Value& part, Value& sum);

enum class Sameness { Same, Different, TooLong };

// Exact. TooLong: two fractions so long that cross-multiplying would take more than a million digit products.
Sameness compare(const Value& a, const Value& b);

}  // namespace thinktune::reward
