// Where a byte string is UTF-8 and where it is not.
#pragma once

#include <cstddef>
#include <string_view>

namespace thinktune::text {

// Bytes of the well-formed character that `text` begins with (The Unicode Standard, table 3-7: no overlong forms, no
// surrogates, nothing above U+10FFFF); 0 if there is none.
size_t utf8_character_length(std::string_view text);

// Bytes of the longest well-formed beginning of `text`.
size_t utf8_valid_length(std::string_view text);

}  // namespace thinktune::text
