// Byte-level byte-pair encoding as GPT-2 has it (Radford et al. 2019) from a vocabulary in memory. Files:
// open_tokenizer.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

struct ByteBpeSpec {
  std::vector<std::string> tokens;  // id → token in GPT-2's byte alphabet ("Ġthe"); special tokens as they are written
  std::vector<uint8_t> is_special;  // one entry a token
  std::vector<std::string> merges;  // "left right", best first
  std::string pre_tokenizer;  // a name of GGUF's: "smollm" (every digit apart, then GPT-2's pattern), "gpt2", "qwen2" …
};

// Throws Error{Data} for a vocabulary that contradicts itself (merge of an unknown token, sizes that differ, a token
// twice), and for a pre-tokenizer that is not known, naming those that are.
std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec);

}  // namespace thinktune::text
