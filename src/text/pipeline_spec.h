// A tokenizer of Hugging Face's `tokenizers` in plain data: added tokens, normaliser, pre-tokenizer, byte-pair model,
// post-processor, decoder. What a tokenizer.json states, and what GGUF, tiktoken and tekken files are turned into.
#pragma once

#include <string>
#include <vector>

#include "text/token_table.h"

namespace thinktune::text {

// U+2581, which stands for a space in sentencepiece's vocabularies.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

struct NormalizerStep {
  enum class Kind { Nfc, Nfd, Nfkc, Nfkd, Prepend, Replace };
  Kind kind;
  std::string pattern;    // Replace
  bool is_regex = false;  // Replace
  std::string content;    // Prepend: what goes before; Replace: what takes the matches' place
};

enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

struct PreTokenizerStep {
  enum class Kind { Split, Digits, Metaspace, ByteLevel };
  enum class Prefix { Never, First, Always };
  Kind kind;
  std::string pattern;                               // Split
  bool is_regex = false;                             // Split
  SplitBehavior behavior = SplitBehavior::Isolated;  // Split
  bool invert = false;                               // Split
  bool individual_digits = false;                    // Digits
  std::string replacement;                           // Metaspace
  Prefix prefix = Prefix::Never;                     // Metaspace; ByteLevel: Never or Always
  bool split = true;                                 // Metaspace: a word at each space; ByteLevel: use_regex
};

struct AddedToken {
  TokenId id = -1;
  std::string content;
  bool single_word = false;  // only where no letter, digit or mark touches it
  bool lstrip = false;       // takes in the white space before it
  bool rstrip = false;       // … and behind it
  bool normalized = false;   // looked for in the normalised text, after being normalised itself
  bool special = false;
};

struct DecoderSpec {
  bool is_byte_level = false;
  // Where it is not, first of all in each token:
  std::string replace, replace_with;  // empty: nothing
  bool byte_fallback = false;         // <0x41> is the byte 41
  size_t num_stripped = 0;            // spaces taken from the text's start, at most
  bool is_metaspace = false;          // written as Metaspace: space marks are spaces, and vanish from the first token
  bool drops_first_marks = false;     // with is_metaspace
};

struct PipelineMerge {
  TokenId left;
  TokenId right;
  TokenId merged;
  uint32_t rank;
};

struct PipelineSpec {
  std::string where;  // the file, for messages
  TokenTable tokens;  // as the file writes them
  std::vector<PipelineMerge> merges;
  bool merges_as_pairs = true;  // how the file writes them
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  DecoderSpec decoder;
  bool byte_level = false;  // the tokens are in GPT-2's byte alphabet
  bool ignore_merges = false;
  bool byte_fallback = false;
  bool fuse_unknown = false;
  TokenId unknown = -1;
  std::vector<TokenId> prefix;  // what the post-processor puts before a text …
  std::vector<TokenId> suffix;  // … and behind it
};

}  // namespace thinktune::text
