// What the names in GGUF's tokenizer.ggml.pre stand for.
#pragma once

#include <string_view>
#include <vector>

#include "text/pipeline_spec.h"

namespace thinktune::text {

struct GgufPreTokenizer {
  std::vector<std::string_view> names;    // the first is the one to write
  std::vector<std::string_view> regexes;  // each splits what the one before it left; matches are words
  bool ignore_merges = false;             // a word that is a token is that token
  bool adds_bos = false;                  // where the file does not say
};

const std::vector<GgufPreTokenizer>& gguf_pre_tokenizers();

// Throws Error{Data} for a name that is not known, naming those that are.
const GgufPreTokenizer& gguf_pre_tokenizer(std::string_view name, const std::string& where);

// Its steps, the last of them ByteLevel.
std::vector<PreTokenizerStep> steps_of(const GgufPreTokenizer& pre);

// nullptr if GGUF has no name for these steps.
const GgufPreTokenizer* find_gguf_pre_tokenizer(const std::vector<PreTokenizerStep>& steps, bool ignore_merges);

}  // namespace thinktune::text
