// Where a byte string is UTF-8 and where it is not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace thinktune::text {

// Bytes of the well-formed character that `text` begins with (The Unicode Standard, table 3-7: no overlong forms, no
// surrogates, nothing above U+10FFFF); 0 if there is none.
size_t utf8_character_length(std::string_view text);

// Bytes of the longest well-formed beginning of `text`.
size_t utf8_valid_length(std::string_view text);

// The code point of a well-formed character of `length` bytes.
char32_t utf8_code_point(const char* character, size_t length);

void append_utf8(char32_t code_point, std::string& text);

// Bytes at the end of `text` that more bytes could make a character of: 0 to 3.
size_t utf8_incomplete_end(std::string_view text);

}  // namespace thinktune::text
