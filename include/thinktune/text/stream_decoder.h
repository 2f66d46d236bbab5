// Text from tokens as they come, never half a character.
#pragma once

#include <string>
#include <vector>

#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

// One stream, one thread. What push() and finish() returned, one after the other, is the tokenizer's decode() of all
// ids. Bytes that cannot become a character are passed on as they are, as decode() does.
class StreamDecoder {
 public:
  // `tokenizer` outlives the object.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  // What the token adds that is whole: bytes that more bytes could make a character of are held back.
  std::string push(TokenId id);

  // What is held back; the stream begins anew.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::vector<TokenId> first_ids_;  // until there is text: the start of a text has rules of its own
  bool has_text_ = false;
  std::string held_;
};

}  // namespace thinktune::text
