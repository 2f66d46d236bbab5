// Bytes as a folder's tokenizer.model (sentencepiece or tiktoken) and, behind the first "\n\n\n", its
// tokenizer_config.json: refused with Error, or a tokenizer that can be used.
#include <cstdlib>
#include <fstream>

#include "support/temp_folder.h"
#include "thinktune/core/error.h"
#include "thinktune/text/open_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  static const test::TempFolder folder;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const size_t cut = content.find("\n\n\n");
  std::ofstream(folder.path() / "tokenizer.model", std::ios::binary) << content.substr(0, cut);
  std::ofstream(folder.path() / "tokenizer_config.json", std::ios::binary)
      << (cut == std::string_view::npos ? std::string_view("{}") : content.substr(cut + 3));
  try {
    const auto tokenizer = text::open_tokenizer(folder.path());
    for (const auto mode : {text::Special::AsText, text::Special::Parse}) {
      const auto ids = tokenizer->encode("<s> Hello  world\xFF 12\n\xC3\xA9\xE2\x96\x81 don't </s>", mode);
      for (const text::TokenId id : ids)
        if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
      tokenizer->decode(ids, true);
    }
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::Internal) throw;
  }
  return 0;
}
