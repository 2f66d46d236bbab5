#include "text/byte_alphabet.h"

#include <array>

#include "text/utf8.h"

namespace thinktune::text {
namespace {

constexpr int kNumCharacters = 0x100 + 68;  // one past the alphabet's last code point

bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<int, 256> code_point_of_byte{};
  std::array<int, kNumCharacters> byte_of_code_point{};

  Alphabet() {
    byte_of_code_point.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      code_point_of_byte[byte] = stands_for_itself(byte) ? byte : next++;
      byte_of_code_point[code_point_of_byte[byte]] = byte;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string alphabet_character(uint8_t byte) {
  const int c = alphabet().code_point_of_byte[byte];
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
}

std::optional<std::string> bytes_of_token(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const size_t length = utf8_character_length(token.substr(i));
    if (length == 0 || length > 2) return std::nullopt;  // the alphabet ends at U+0143
    const auto lead = static_cast<unsigned char>(token[i]);
    const int c = length == 1 ? lead : (lead & 0x1F) << 6 | (static_cast<unsigned char>(token[i + 1]) & 0x3F);
    if (c >= kNumCharacters || alphabet().byte_of_code_point[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(alphabet().byte_of_code_point[c]));
    i += length;
  }
  return bytes;
}

}  // namespace thinktune::text
