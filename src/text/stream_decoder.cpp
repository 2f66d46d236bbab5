#include "thinktune/text/stream_decoder.h"

#include <utility>

#include "text/utf8.h"

namespace thinktune::text {

std::string StreamDecoder::push(TokenId id) {
  if (skip_special_ && tokenizer_.is_special(id)) return "";
  if (has_text_) {
    held_ += tokenizer_.token_bytes(id);
  } else {
    first_ids_.push_back(id);
    held_ = tokenizer_.decode(first_ids_, false);
    has_text_ = !held_.empty();
    if (has_text_) first_ids_.clear();
  }
  const size_t num_whole = held_.size() - utf8_incomplete_end(held_);
  std::string whole = held_.substr(0, num_whole);
  held_.erase(0, num_whole);
  return whole;
}

std::string StreamDecoder::finish() {
  first_ids_.clear();
  has_text_ = false;
  return std::exchange(held_, std::string());
}

}  // namespace thinktune::text
