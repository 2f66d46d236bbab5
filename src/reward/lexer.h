// A short answer as tokens: LaTeX's spacing, delimiters, fonts and money signs are gone, synonyms are one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::reward {

enum class TokenKind {
  Number,   // unsigned, as number_length reads it, separators included
  Word,     // a run of ASCII letters
  Command,  // "\frac", "\pi"; \dfrac, \tfrac and \cfrac are "\frac"
  Symbol,  // one character, or one of "\{" "\}" "<=" ">=" "!="; × · \times \cdot are "*", the minus sign U+2212 is "-"
  Percent,
  Degree,
};

struct Token {
  TokenKind kind = TokenKind::Symbol;
  std::string_view text;      // into the source, or a literal
  bool space_before = false;  // white space of any kind, thin spaces excepted
  bool in_text = false;       // inside \text{…}, \mathrm{…} or the like

  bool is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
  bool is_symbol(std::string_view t) const { return is(TokenKind::Symbol, t); }
};

// Linear in the length of `source`, which must outlive the tokens.
std::vector<Token> tokenize(std::string_view source);

// One spelling for texts that are set alike: no spaces, x^{2} as x^2, numbers in normal form, words of three letters or
// more in lower case.
std::string canonical_text(std::span<const Token> tokens);

}  // namespace thinktune::reward
