// The first half of byte-level BPE: a text into words. Merges never cross a word's border.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::text {

struct PreTokenizerKind {
  std::string name;
  bool digits_apart;    // every numeric character (Unicode N*) is a word of its own
  std::string pattern;  // PCRE2: one word at the start of a text
};

const std::vector<PreTokenizerKind>& pre_tokenizer_kinds();

// Throws Error{Data} for a name that is not known, naming those that are.
const PreTokenizerKind& pre_tokenizer_kind(std::string_view name);

// Immutable; any number of threads.
class PreTokenizer {
 public:
  explicit PreTokenizer(const PreTokenizerKind& kind);

  // Words one after the other: together they are `text`, into which they point. A byte that is not part of well-formed
  // UTF-8 is a word of its own (the reference never sees such bytes). Time is linear in the text.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Pattern;
  std::shared_ptr<const Pattern> pattern_;
};

}  // namespace thinktune::text
