#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

std::vector<TokenId> Tokenizer::encode(std::string_view text, Special special) const {
  return encode(std::vector<Segment>{{std::string(text), special}});
}

}  // namespace thinktune::text
