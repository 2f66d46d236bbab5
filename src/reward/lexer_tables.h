// What the lexer knows of LaTeX's commands and of words.
#pragma once

#include <string_view>

#include "reward/lexer.h"

namespace thinktune::reward {

enum class CommandClass : uint8_t {
  Other,        // kept as it is
  Dropped,      // leaves nothing behind
  Space,        // is white space
  Text,         // its braces go, and their content is text
  Transparent,  // its braces go
  Synonym,      // is `token`
  Left,
  Right,
};

struct CommandMeaning {
  CommandClass what = CommandClass::Other;
  Token token;
};

// Meaning of a command by its name without the backslash.
CommandMeaning command_meaning(std::string_view name);

// The command that a bare word is ("sin", "pi", "sqrt", "infinity"), without text otherwise.
std::string_view named_command(std::string_view word);

// Whether a bare word that follows a value may be a unit, or begin one: "cm", "apples"; `apart`: white space stands
// between. Single letters never are, for 5m is a term of algebra.
bool may_be_unit(std::string_view word, bool apart);

// Whether a bare word is text rather than a product of letters: "even", "Amy", "no", but not "xyz".
bool is_text_word(std::string_view word);

std::string lower_case(std::string_view word);

}  // namespace thinktune::reward
