// A text into words, which the model's merges never cross.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pipeline_spec.h"
#include "text/regex.h"
#include "text/word_scanner.h"

namespace thinktune::text {

// Immutable; any number of threads.
class PreTokenizer {
 public:
  PreTokenizer() = default;
  PreTokenizer(const std::vector<PreTokenizerStep>& steps, const std::string& where);

  // Calls f(word) for each word of `text`. Prefixes go before a text where the steps say Always; First asks
  // `is_first`: nothing was before this text. `with_prefix` false: none at all. A byte that is not UTF-8 is a word of
  // its own wherever a step splits (the reference never sees one).
  template <typename F>
  void for_each_word(std::string_view text, bool is_first, bool with_prefix, F&& f) const {
    if (fast_) {
      while (!text.empty()) {
        const size_t size = first_word(*fast_, text);
        f(text.substr(0, size));
        text.remove_prefix(size);
      }
      return;
    }
    if (steps_.empty()) {
      if (!text.empty()) f(text);
      return;
    }
    Words words;
    split(text, is_first, with_prefix, words);
    for (const std::string_view word : words.words) f(word);
  }

 private:
  struct Step {
    PreTokenizerStep spec;
    std::optional<Regex> regex;
    std::optional<WordPattern> scanner;
  };
  struct Words {
    std::vector<std::string_view> words;
    std::deque<std::string> storage;  // words that are not part of the text
  };

  void split(std::string_view text, bool is_first, bool with_prefix, Words& words) const;
  static void split_word(const Step& step, std::string_view word, std::vector<std::string_view>& out);

  std::vector<Step> steps_;
  std::optional<WordPattern> fast_;  // one scanner does all of it
};

}  // namespace thinktune::text
