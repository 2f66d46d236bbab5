// Bytes as a tokenizer.json, a tekken.json or a sentencepiece model (told by the first byte); what is accepted is used.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "thinktune/core/error.h"
#include "thinktune/text/open_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  if (size == 0) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const std::string text = "<s> Hello  world\xFF 12\n\xC3\xA9\xE2\x96\x81 don't </s>";
  try {
    std::unique_ptr<text::Tokenizer> tokenizer;
    if (data[0] == 'T') {
      tokenizer = text::tokenizer_from_tekken(content.substr(1), "fuzz");
    } else if (data[0] == '\n') {
      tokenizer = text::tokenizer_from_sentencepiece(content, "fuzz");
    } else {
      tokenizer = text::tokenizer_from_json(content, "fuzz");
    }
    for (const auto mode : {text::Special::AsText, text::Special::Parse})
      tokenizer->decode(tokenizer->add_special_tokens(tokenizer->encode(text, mode)), true);
    tokenizer->encode_continuation(text);
    for (text::TokenId id = 0; id < tokenizer->vocab_size() && id < 300; ++id) tokenizer->token_bytes(id);
    // What is written is read again.
    std::string written;
    try {
      written = tokenizer->to_tokenizer_json();
      tokenizer->to_gguf();
    } catch (const core::Error&) {
    }
    if (!written.empty()) text::tokenizer_from_json(written, "written");
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::Internal) throw;
  }
  return 0;
}
