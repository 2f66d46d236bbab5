// A template's source to tokens, with trim_blocks and lstrip_blocks on, as transformers has them.
#pragma once

#include <string>
#include <vector>

namespace thinktune::text::jinja {

struct Token {
  enum class Type { Data, BlockBegin, BlockEnd, PrintBegin, PrintEnd, Name, Integer, Float, String, Operator, End };
  Type type = Type::End;
  std::string text;  // Data, String: the text itself, escapes resolved
  int line = 1;
};

// Throws core::Error{Data} naming the line.
std::vector<Token> tokenize(const std::string& source);

// "chat template, line 3: …"
[[noreturn]] void fail_at(int line, const std::string& message);

}  // namespace thinktune::text::jinja
