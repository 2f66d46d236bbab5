// A short answer as tokens: LaTeX's spacing, fonts and delimiters' sizes are gone, synonyms are one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::reward {

enum class TokenKind : uint8_t {
  Number,    // unsigned, as number_length reads it, separators included
  Letter,    // one ASCII letter that stands for a quantity
  Word,      // text or a unit: "\text{cm}", "apples", "and"
  Command,   // "\frac", "\pi"; \dfrac, \tfrac and \cfrac are "\frac", a plain sin is "\sin"
  Symbol,    // one character, or one of "\{" "\}" "\\" "<=" ">=" "!="; × · \times \cdot are "*", ** is "^"
  Currency,  // "$" (written \$), "euro", "pounds", "yen", "rupee"
  Percent,
  Degree,
  Begin,  // text: the environment's name
  End,
};

enum class Delimiter : uint8_t { None, Left, Right };  // behind \left or \right

struct Token {
  TokenKind kind = TokenKind::Symbol;
  Delimiter delimiter = Delimiter::None;
  bool space_before = false;  // white space of any kind, thin spaces excepted
  bool in_text = false;       // inside \text{…}, \mathrm{…} or the like
  std::string_view text;      // into the source, or a literal

  bool is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
  bool is_symbol(std::string_view t) const { return is(TokenKind::Symbol, t); }
  bool is_command(std::string_view t) const { return is(TokenKind::Command, t); }
};

// Linear in the length of `source`, which must be ASCII but for what is no mathematics, and outlive the tokens.
std::vector<Token> tokenize(std::string_view source);

// One spelling for texts that are set alike: no spaces, x^{2} as x^2, numbers in normal form, words in lower case, no
// currency signs.
std::string canonical_text(std::span<const Token> tokens);

}  // namespace thinktune::reward
