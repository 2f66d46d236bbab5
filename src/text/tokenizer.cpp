#include "thinktune/text/tokenizer.h"

#include "thinktune/core/error.h"
#include "thinktune/text/gguf_vocabulary.h"

namespace thinktune::text {

std::vector<TokenId> Tokenizer::encode(std::string_view text, Special special) const {
  return encode(std::vector<Segment>{{std::string(text), special}});
}

std::vector<TokenId> Tokenizer::encode_continuation(std::string_view text) const { return encode(text); }

std::string Tokenizer::token_bytes(TokenId id) const { return decode({id}); }

std::vector<TokenId> Tokenizer::add_special_tokens(std::vector<TokenId> ids) const { return ids; }

GgufVocabulary Tokenizer::to_gguf() const {
  throw core::user_error("this tokenizer cannot be written as GGUF", "keep the Hugging Face folder");
}

}  // namespace thinktune::text
