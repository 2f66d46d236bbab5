#include "text/gguf_tokenizers.h"

#include "text/pipeline_spec.h"
#include "text/utf8.h"
#include "thinktune/core/error.h"
#include "thinktune/text/open_tokenizer.h"

namespace thinktune::text {

void check_gguf_token(std::string_view token, size_t id, const std::string& where) {
  if (token.empty()) throw core::data_error(fmt::format("{}: the vocabulary's token {} is empty", where, id));
  if (utf8_valid_length(token) != token.size())
    throw core::data_error(fmt::format("{}: the vocabulary's token {} is not valid UTF-8", where, id));
}

std::string with_spaces(std::string_view piece) {
  std::string out;
  while (!piece.empty()) {
    const bool is_mark = piece.starts_with(kSpaceMark);
    out.push_back(is_mark ? ' ' : piece[0]);
    piece.remove_prefix(is_mark ? kSpaceMark.size() : 1);
  }
  return out;
}

std::string with_space_marks(std::string_view token) {
  std::string out;
  for (const char c : token)
    if (c == ' ') {
      out += kSpaceMark;
    } else {
      out.push_back(c);
    }
  return out;
}

std::unique_ptr<Tokenizer> tokenizer_from_gguf(GgufVocabulary vocabulary, const std::string& where) {
  if (vocabulary.tokens.empty()) throw core::data_error(fmt::format("{}: the vocabulary is empty", where));
  if (vocabulary.model == "gpt2") return byte_bpe_from_gguf(vocabulary, where);
  if (vocabulary.model == "llama" || vocabulary.model == "t5") return sentencepiece_from_gguf(vocabulary, where);
  throw core::data_error(fmt::format("{}: the tokenizer \"{}\" is not known", where, vocabulary.model),
                         "known: gpt2 (byte-level BPE), llama (sentencepiece BPE), t5 (sentencepiece unigram)");
}

}  // namespace thinktune::text
