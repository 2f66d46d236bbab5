// A tokenizer as a GGUF file states it (the keys tokenizer.ggml.*).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace thinktune::text {

// ggml's token types.
enum GgufTokenType : int64_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,
  kUserDefinedToken = 4,
  kUnusedToken = 5,
  kByteToken = 6,
};

struct GgufVocabulary {
  std::string model;  // "gpt2" (byte-level BPE), "llama" (sentencepiece BPE), "t5" (sentencepiece unigram)
  std::string pre;    // gpt2: the name of the pre-tokenizer; empty: "default"
  std::vector<std::string> tokens;               // by id
  std::vector<double> scores;                    // one a token for llama and t5, else empty
  std::vector<int64_t> types;                    // GgufTokenType, one a token; empty: all normal
  std::vector<std::string> merges;               // gpt2: "left right", best first
  std::optional<bool> add_space_prefix;          // llama, t5: a space before a text; absent: yes
  std::optional<bool> remove_extra_whitespaces;  // t5: runs of spaces are one; absent: no
  std::optional<bool> add_bos;                   // absent: as llama.cpp has it for this model and pre
  std::optional<bool> add_eos;
  int64_t bos_id = -1;  // -1: none
  int64_t eos_id = -1;
  int64_t unk_id = -1;
  int64_t pad_id = -1;
  std::string precompiled_charsmap;  // t5: the normaliser's bytes; empty: none
};

}  // namespace thinktune::text
