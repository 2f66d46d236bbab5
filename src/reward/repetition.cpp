// Repetition: the share of n-grams that are not new.
//   value = -(1 - |different n-grams| / |n-grams|)
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "reward/characters.h"
#include "reward/parts.h"

namespace thinktune::reward {
namespace {

// The words as numbers, the same number for the same word.
std::vector<uint64_t> numbered_words(std::string_view text) {
  std::unordered_map<std::string, uint64_t> numbers;
  std::vector<uint64_t> words;
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && !is_space(text[i]) && text[i] != '\v' && text[i] != '\f') {
      word += lower(text[i]);
    } else if (!word.empty()) {
      words.push_back(numbers.try_emplace(word, numbers.size()).first->second);
      word.clear();
    }
  }
  return words;
}

// Pairs that are equal get the same number: n-grams of n words are pairs of an n-gram of n - 1 words and a word.
struct PairHash {
  size_t operator()(const std::pair<uint64_t, uint64_t>& pair) const {
    return static_cast<size_t>((pair.first * 0x9E3779B97F4A7C15ull) ^ (pair.second * 0xC2B2AE3D27D4EB4Full));
  }
};

}  // namespace

double repetition_value(const RepetitionOptions& options, std::string_view text) {
  const std::vector<uint64_t> words = numbered_words(text);
  const auto n = static_cast<size_t>(options.ngram_words);
  if (words.size() < n) return 0;
  std::vector<uint64_t> grams = words;  // number of the n-gram that begins at a word, for n = 1, 2, …
  size_t num_different = 0;
  for (size_t length = 1; length <= n; ++length) {
    const size_t num_grams = words.size() - length + 1;
    std::unordered_map<std::pair<uint64_t, uint64_t>, uint64_t, PairHash> numbers;
    for (size_t i = 0; i < num_grams; ++i) {
      const std::pair<uint64_t, uint64_t> gram = {length == 1 ? 0 : grams[i], words[i + length - 1]};
      grams[i] = numbers.try_emplace(gram, numbers.size()).first->second;
    }
    num_different = numbers.size();
  }
  return static_cast<double>(num_different) / static_cast<double>(words.size() - n + 1) - 1;
}

}  // namespace thinktune::reward
