// Tokenizers that are files of ranked byte strings: Llama 3's tokenizer.model (tiktoken) and Mistral's tekken.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

bool looks_like_tiktoken(std::string_view content);

std::unique_ptr<Tokenizer> make_tiktoken(std::string_view content, bool adds_bos, const std::string& where);

}  // namespace thinktune::text
