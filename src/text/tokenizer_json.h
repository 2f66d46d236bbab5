// The tokenizer.json of a byte-level BPE; its reader is public (byte_bpe.h).
#pragma once

#include <string>

#include "thinktune/text/byte_bpe.h"

namespace thinktune::text {

// `spec` is one that make_byte_bpe accepts.
std::string byte_bpe_to_tokenizer_json(const ByteBpeSpec& spec);

}  // namespace thinktune::text
