// Makers of tokenizers from what models come with. Each throws Error{Data} for what is damaged or not known, naming
// `where` (the file), the part and what is known.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "thinktune/text/gguf_vocabulary.h"
#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

// A model's folder: its tokenizer.json, else its tokenizer.model (sentencepiece or tiktoken, told by the content), else
// its tekken.json; or one of these files. Beside a tokenizer.model the folder's tokenizer_config.json is heard:
// add_bos_token, add_eos_token and added_tokens_decoder.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder_or_file);

// A tokenizer.json of `tokenizers` whose model is BPE.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const std::string& where);

// A serialised sentencepiece model, BPE or unigram. Control pieces are special tokens. `add_special_tokens` adds BOS
// where the model has one, as Llama, Mistral and Gemma have it.
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(std::string_view model, const std::string& where);

// Llama 3's tokenizer.model: a line "base64 rank" for each token. Pattern and special tokens are those of Llama 3
// (which the file does not hold).
std::unique_ptr<Tokenizer> tokenizer_from_tiktoken(std::string_view content, const std::string& where);

// Mistral's tekken.json.
std::unique_ptr<Tokenizer> tokenizer_from_tekken(std::string_view json, const std::string& where);

std::unique_ptr<Tokenizer> tokenizer_from_gguf(GgufVocabulary vocabulary, const std::string& where);

}  // namespace thinktune::text
