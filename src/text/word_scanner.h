// The pre-tokenizers that most models have, written by hand: many times faster than a regular expression, and equal to
// it word for word (word_scanner_test.cpp).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace thinktune::text {

enum class WordPattern {
  Gpt2,             // GPT-2's pattern
  Gpt2DigitsApart,  // every number character cut out first, then GPT-2's pattern between them ("smollm")
  Cl100k,           // Llama 3, cl100k: numbers of up to three characters
  Qwen2,            // as Cl100k, each number character apart
};

inline constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kCl100kRegex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The pattern that a regular expression is, if it is one of the above.
std::optional<WordPattern> pattern_of_regex(std::string_view regex);

// Bytes of the word that `text` begins with; at least 1. `text` is not empty. A byte that is not part of well-formed
// UTF-8 is a word of its own, and what is before it ends there. Linear in the word, so a text's words are found in
// linear time.
size_t first_word(WordPattern pattern, std::string_view text);

}  // namespace thinktune::text
