// A small byte-level vocabulary for tests that need no files: all bytes but a few, some merges, three special tokens.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "thinktune/text/byte_bpe.h"

namespace thinktune::test {

// GPT-2's byte alphabet, stated once more from its definition.
inline std::string alphabet(unsigned byte) {
  const auto is_printable = [](unsigned b) { return (b > 32 && b < 127) || (b > 160 && b != 173 && b < 256); };
  unsigned code_point = byte;
  if (!is_printable(byte)) {
    code_point = 256;
    for (unsigned b = 0; b < byte; ++b) code_point += is_printable(b) ? 0 : 1;
  }
  if (code_point < 128) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 + code_point / 64), static_cast<char>(0x80 + code_point % 64)};
}

inline bool has_no_token(unsigned char byte) { return byte == 0x04 || byte == 0xFE; }

inline text::ByteBpeSpec small_vocabulary(const std::string& pre_tokenizer = "smollm") {
  text::ByteBpeSpec spec;
  spec.pre_tokenizer = pre_tokenizer;
  const auto add = [&](const std::string& token, bool special) {
    spec.tokens.push_back(token);
    spec.is_special.push_back(special);
  };
  for (const char* special : {"<|end|>", "<|im_start|>", "<|im_end|>"}) add(special, true);
  for (unsigned byte = 0; byte < 256; ++byte)
    if (!has_no_token(static_cast<unsigned char>(byte))) add(alphabet(byte), false);
  const std::string space = alphabet(' ');
  for (const auto& [left, right] : std::vector<std::pair<std::string, std::string>>{{"a", "a"},
                                                                                    {"h", "e"},
                                                                                    {"l", "l"},
                                                                                    {"aa", "aa"},
                                                                                    {"he", "ll"},
                                                                                    {"hell", "o"},
                                                                                    {space, "hello"},
                                                                                    {"1", "2"},
                                                                                    {space, space}}) {
    spec.merges.push_back(left + " " + right);
    add(left + right, false);
  }
  return spec;
}

inline text::TokenId id_of(const text::ByteBpeSpec& spec, const std::string& token) {
  for (size_t i = 0; i < spec.tokens.size(); ++i)
    if (spec.tokens[i] == token) return static_cast<text::TokenId>(i);
  throw std::runtime_error("the small vocabulary has no " + token);
}

}  // namespace thinktune::test
