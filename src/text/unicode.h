// What characters are, and the four normal forms; by utf8proc's tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace thinktune::text {

enum CharacterKind : uint8_t {
  kLetter = 1,     // \p{L}
  kNumber = 2,     // \p{N}
  kSpace = 4,      // Unicode's White_Space (what `tokenizers` takes for \s; not PCRE2's, which also holds U+180E)
  kNewline = 8,    // \r and \n, beside kSpace
  kOther = 16,     // none of the above
  kWordPart = 32,  // \w, beside one of the others
};

uint8_t kind_of(char32_t code_point);

enum class NormalForm { Nfc, Nfd, Nfkc, Nfkd };

// `text` is well-formed UTF-8. O(n log n) whatever the text.
std::string to_normal_form(std::string_view text, NormalForm form);

// True if `text` is surely in the form already (all of its characters are too low to change); cheap.
bool is_surely_in_normal_form(std::string_view text, NormalForm form);

}  // namespace thinktune::text
