// The tokenizers of GGUF files by kind; tokenizer_from_gguf chooses.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "thinktune/text/gguf_vocabulary.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

std::unique_ptr<Tokenizer> byte_bpe_from_gguf(const GgufVocabulary& vocabulary, const std::string& where);
std::unique_ptr<Tokenizer> sentencepiece_from_gguf(const GgufVocabulary& vocabulary, const std::string& where);

// Throws Error{Data} for a token that is empty or not UTF-8.
void check_gguf_token(std::string_view token, size_t id, const std::string& where);

// U+2581 as spaces, and spaces as U+2581: GGUF writes user-defined pieces with plain spaces.
std::string with_spaces(std::string_view piece);
std::string with_space_marks(std::string_view token);

}  // namespace thinktune::text
