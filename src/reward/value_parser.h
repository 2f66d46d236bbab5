// Reads one number, with what people write around it, from the tokens of an answer.
#pragma once

#include <optional>
#include <span>

#include "reward/decimal.h"
#include "reward/lexer.h"

namespace thinktune::reward {

// The value, if the tokens are one number from the first to the last:
//   [sign] (decimal | a/b | \frac{a}{b} | w a/b | w\frac{a}{b} | 10^n | a*10^n | parentheses around one of these)
//   [hundred | thousand | million | billion | trillion] [% | percent] [unit or trailing words]
// Everything else (a variable, a list, a sum, a power, "5 or 6", "5 dozen", x/0) is no value: it is compared as text.
std::optional<Value> parse_value(std::span<const Token> tokens);

}  // namespace thinktune::reward
