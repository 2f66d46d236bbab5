// Text to token ids and back. An object is immutable after construction: any number of threads may use it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/types.h"

namespace thinktune::text {

using core::TokenId;
struct GgufVocabulary;  // gguf_vocabulary.h

enum class Special {
  AsText,  // "<|im_end|>" in the text is ten characters like any other: what a user typed
  Parse,   // special tokens in the text become their ids: what a template wrote
};

// A stretch of text and whether special tokens in it are to be recognised.
struct Segment {
  std::string text;
  Special special = Special::AsText;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Bytes that the vocabulary has no token for vanish (as in the reference). Any byte string is accepted. A tokenizer
  // of sentencepiece's kind puts a space before the text (and none behind special tokens within it).
  std::vector<TokenId> encode(std::string_view text, Special special = Special::AsText) const;

  // As if the segments were one text, but special tokens are recognised only inside segments that say Parse. A special
  // token never spans two segments; ordinary tokens may.
  virtual std::vector<TokenId> encode(const std::vector<Segment>& segments) const = 0;

  // As the text stands behind other text: without the space that a sentencepiece tokenizer puts at a text's start.
  virtual std::vector<TokenId> encode_continuation(std::string_view text) const;

  // Bytes of the ids one after the other; not always valid UTF-8. Ids behind the vocabulary stand for nothing, as in
  // the reference: models have more rows than tokens (Qwen), and may come to draw one. Throws Error{Internal} for a
  // negative id.
  virtual std::string decode(const std::vector<TokenId>& ids, bool skip_special = false) const = 0;

  virtual int64_t vocab_size() const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual TokenId special_id(std::string_view token) const = 0;  // -1 if there is no such special token
  virtual std::string token_text(TokenId id) const = 0;          // for people, e.g. "Ġhello"

  // The bytes that one token stands for inside a text ("▁the" is " the"; a special token is its own text): decode() is
  // these, one after the other, but for what it takes away at a text's start. None behind the vocabulary, as there.
  virtual std::string token_bytes(TokenId id) const;

  // `ids` between what the model's own texts begin and end with (BOS, EOS), as its post-processor or its config says.
  virtual std::vector<TokenId> add_special_tokens(std::vector<TokenId> ids) const;

  // For writing GGUF. Throws Error{User} naming why where GGUF has no words for it.
  virtual GgufVocabulary to_gguf() const;

  // The content of a Hugging Face folder's tokenizer.json, which `tokenizers` and transformers read. The
  // tokenizer_config.json beside it must say "tokenizer_class": "PreTrainedTokenizerFast": for a class that it knows
  // (GPT2Tokenizer), transformers 5 sets a pre-tokenizer of its own in place of the file's and digits come out in other
  // tokens.
  virtual std::string to_tokenizer_json() const = 0;
};

}  // namespace thinktune::text
