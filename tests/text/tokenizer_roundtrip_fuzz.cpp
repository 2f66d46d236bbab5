// Any bytes through each kind of small tokenizer. The first byte chooses the tokenizer, the second where the text is
// cut into segments and which of them are parsed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "small_tokenizers.h"
#include "thinktune/text/stream_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  static const auto tokenizers = test::small_tokenizers();
  if (size < 2) return 0;
  const auto& [name, tokenizer, keeps_bytes] = tokenizers[data[0] % tokenizers.size()];
  const std::string text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto require = [](bool holds) {
    if (!holds) std::abort();
  };

  const auto ids = tokenizer->encode(text);
  for (const auto id : ids) require(!tokenizer->is_special(id) || tokenizer->token_text(id) == "<unk>");
  const std::string decoded = tokenizer->decode(ids);
  require(!keeps_bytes || decoded == text);

  const size_t cut = text.empty() ? 0 : (data[1] >> 2) * text.size() / 64;
  const auto mode = [&](int bit) { return (data[1] >> bit & 1) != 0 ? text::Special::Parse : text::Special::AsText; };
  const auto parsed = tokenizer->encode({{text.substr(0, cut), mode(0)}, {text.substr(cut), mode(1)}});
  // White space that a special token takes in is gone; these tokenizers have none that are byte-level.
  require(!keeps_bytes || tokenizer->decode(parsed) == text);
  require(!keeps_bytes || tokenizer->decode(tokenizer->encode_continuation(text)) == text);

  for (const bool skip : {false, true}) {
    text::StreamDecoder stream(*tokenizer, skip);
    std::string streamed;
    for (const auto id : parsed) streamed += stream.push(id);
    require(streamed + stream.finish() == tokenizer->decode(parsed, skip));
  }
  return 0;
}
