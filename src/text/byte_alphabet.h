// GPT-2's byte alphabet: each of the 256 bytes as one printable character, so that a vocabulary is readable text. Bytes
// that are printable in Latin-1 stand for themselves; the other 68 are U+0100, U+0101, … in order (the space is U+0120,
// "Ġ").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thinktune::text {

// The character of a byte, in UTF-8.
std::string alphabet_character(uint8_t byte);

// The bytes that a token in the alphabet stands for; nullopt if a character of it is not in the alphabet. `token` is
// valid UTF-8.
std::optional<std::string> bytes_of_token(std::string_view token);

}  // namespace thinktune::text
