// Formulas of one text, looked for in the order of the text: $…$ in one line, $$…$$, \(…\), \[…\].
#pragma once

#include "reward/extract.h"

namespace thinktune::reward {

// All calls together take time linear in the text, if they go from the front to the back.
class Formulas {
 public:
  explicit Formulas(std::string_view text) : text_(text) {}
  std::optional<Formula> at(size_t at);

 private:
  std::optional<Formula> until(std::string_view mark, size_t at, size_t kind);
  std::optional<Formula> money_or_formula(size_t at);

  std::string_view text_;
  bool missing_[3] = {};
};

// "5" of "x = 2 + 3 = 5" and of "2 + 3 = 5". As it is: "x = 5", which the comparison reads, and several statements
// ("x = 1, y = 2").
std::string_view last_side(std::string_view formula);

}  // namespace thinktune::reward
