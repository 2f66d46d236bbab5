// Bytes as the vocabulary in a GGUF: refused with Error{Data}, or a tokenizer that can be used. The first line holds
// model, pre-tokenizer and flags; each further one is a token "TYPE SCORE TEXT", or behind an empty line a merge.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "thinktune/core/error.h"
#include "thinktune/text/gguf_vocabulary.h"
#include "thinktune/text/open_tokenizer.h"

namespace {

using namespace thinktune;

std::string take(std::string_view& rest, char end) {
  const size_t at = std::min(rest.find(end), rest.size());
  const std::string word(rest.substr(0, at));
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return word;
}

text::GgufVocabulary read(std::string_view rest) {
  text::GgufVocabulary v;
  std::string line = take(rest, '\n');
  std::string_view head = line;
  v.model = take(head, ' ');
  v.pre = take(head, ' ');
  const std::string flags = take(head, ' ');
  const auto flag = [&](size_t i) -> std::optional<bool> {
    if (i >= flags.size() || flags[i] == '-') return std::nullopt;
    return flags[i] == '1';
  };
  v.add_space_prefix = flag(0);
  v.remove_extra_whitespaces = flag(1);
  v.add_bos = flag(2);
  v.add_eos = flag(3);
  for (int64_t* id : {&v.bos_id, &v.eos_id, &v.unk_id, &v.pad_id})
    if (const std::string word = take(head, ' '); !word.empty()) *id = std::strtoll(word.c_str(), nullptr, 10);
  v.precompiled_charsmap = std::string(head);
  while (!rest.empty()) {
    line = take(rest, '\n');
    if (line.empty()) break;
    std::string_view token = line;
    v.types.push_back(std::strtoll(take(token, ' ').c_str(), nullptr, 10));
    v.scores.push_back(std::strtod(take(token, ' ').c_str(), nullptr));
    v.tokens.emplace_back(token);
  }
  while (!rest.empty()) v.merges.push_back(take(rest, '\n'));
  if (v.model == "gpt2") v.scores.clear();
  return v;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto tokenizer = text::tokenizer_from_gguf(read({reinterpret_cast<const char*>(data), size}), "fuzz");
    for (const auto mode : {text::Special::AsText, text::Special::Parse}) {
      const auto ids = tokenizer->encode("<s> Hello  world\xFF 12\n\xC3\xA9\xE2\x96\x81 don't </s>", mode);
      for (const text::TokenId id : ids)
        if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
      tokenizer->decode(tokenizer->add_special_tokens(ids), true);
    }
    for (text::TokenId id = 0; id < tokenizer->vocab_size() && id < 300; ++id) tokenizer->token_bytes(id);
    text::tokenizer_from_gguf(tokenizer->to_gguf(), "written");
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::Internal) throw;
  }
  return 0;
}
