// Regular expressions as a tokenizer.json has them (those of Oniguruma, Ruby's syntax), matched by PCRE2.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::text {

// The same expression in PCRE2's words: \s is Unicode's White_Space, \d its Nd, and so on. Throws Error{Data} naming
// what PCRE2 would understand otherwise or what is not known here; `where` says whose expression it is.
std::string to_pcre2(std::string_view pattern, const std::string& where);

// Immutable; any number of threads.
class Regex {
 public:
  struct Match {
    size_t begin;
    size_t end;
  };

  // Throws Error{Data} for an expression that cannot be compiled.
  Regex(std::string_view pattern, const std::string& where);

  // All matches from left to right, without overlap; `text` is well-formed UTF-8. Throws Error{Data} where an
  // expression's search takes more than millions of steps.
  void find_all(std::string_view text, std::vector<Match>& matches) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace thinktune::text
