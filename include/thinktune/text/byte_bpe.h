// Byte-level byte-pair encoding as GPT-2 has it (Radford et al. 2019), with the pre-tokenizers of the models we know.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

// A vocabulary as a GGUF or a tokenizer.json states it.
struct ByteBpeSpec {
  std::vector<std::string> tokens;  // id → token in GPT-2's byte alphabet ("Ġthe"); special tokens as they are written
  std::vector<uint8_t> is_special;  // one entry a token
  std::vector<std::string> merges;  // "left right", best first
  std::string pre_tokenizer;        // "smollm": every digit apart, then GPT-2's pattern; "gpt2": GPT-2's pattern alone
};

// Throws Error{Data} for a vocabulary that contradicts itself (merge of an unknown token, sizes that differ, a token
// twice), and for a pre-tokenizer that is not known, naming those that are.
std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec);

// Reads a tokenizer.json (of `tokenizers`) that is a byte-level BPE with one of the known pre-tokenizers. `where` names
// the file in error messages. Throws Error{Data} for anything else, saying what in it is not known.
ByteBpeSpec byte_bpe_from_tokenizer_json(std::string_view json, const std::string& where);

}  // namespace thinktune::text
