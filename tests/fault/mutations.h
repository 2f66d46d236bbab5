// Damaged copies of a file: what broken downloads, failing disks and attackers make of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

namespace thinktune::test {

// Copy number `index`; a function of content, name and index alone. One to four changes: bits, bytes, numbers of four
// and eight bytes, numbers in text, cuts, insertions, stretches that are repeated, left out or exchanged, brackets.
// Half of the places lie in the first 4 KB, where headers are.
class Mutator {
 public:
  Mutator(const std::string& name, uint64_t index) {
    uint64_t seed = 0xcbf29ce484222325;
    for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    random_.seed(seed ^ (index * 0x9e3779b97f4a7c15));
  }

  std::string mutate(std::string text) {
    for (uint64_t left = 1 + below(4); left > 0; --left) change(text);
    return text;
  }

 private:
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }

  size_t place(const std::string& text) {
    const size_t near = std::min<size_t>(text.size(), 4096);
    return below(below(2) == 0 ? near : text.size());
  }

  size_t length(const std::string& text, size_t at) {
    const uint64_t longest = below(4) == 0 ? 4096 : 16;
    return std::min<size_t>(1 + below(longest), text.size() - at);
  }

  uint64_t odd_number() {
    constexpr uint64_t kOdd[] = {0,          1,          0x7f,       0x80,       0xff,        0x7fff,
                                 0xffff,     0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
                                 1ULL << 63, ~0ULL,      ~0ULL - 7,  1ULL << 40, 1ULL << 24,  3};
    return kOdd[below(std::size(kOdd))];
  }

  void put(std::string& text, size_t at, uint64_t number, size_t bytes) {
    for (size_t i = 0; i < bytes && at + i < text.size(); ++i) text[at + i] = static_cast<char>(number >> (8 * i));
  }

  // The run of digits at or behind `at` becomes another number.
  void change_digits(std::string& text, size_t at) {
    constexpr const char* kNumbers[] = {"0",
                                        "-1",
                                        "1",
                                        "4294967296",
                                        "9223372036854775807",
                                        "18446744073709551615",
                                        "-9223372036854775808",
                                        "1e308",
                                        "1e999",
                                        "0.5",
                                        "null",
                                        "\"\"",
                                        "[]",
                                        "true"};
    const size_t begin = text.find_first_of("0123456789", at);
    if (begin == std::string::npos) return;
    const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    text.replace(begin, end - begin, kNumbers[below(std::size(kNumbers))]);
  }

  void change(std::string& text) {
    if (text.empty()) return text.push_back(static_cast<char>(below(256)));
    const size_t at = place(text);
    switch (below(12)) {
      case 0:
        text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        text[at] = static_cast<char>(below(256));
        break;
      case 2:
        put(text, at & ~size_t{3}, odd_number(), 4);
        break;
      case 3:
        put(text, at & ~size_t{7}, odd_number(), 8);
        break;
      case 4:
        change_digits(text, at);
        break;
      case 5:
        text.resize(at);
        break;
      case 6:
        text.erase(at, length(text, at));
        break;
      case 7: {
        const std::string part = text.substr(at, length(text, at));
        text.insert(place(text), part);
        break;
      }
      case 8: {
        std::string noise(1 + below(16), '\0');
        for (char& c : noise) c = static_cast<char>(below(256));
        text.insert(at, noise);
        break;
      }
      case 9: {
        const size_t other = place(text), count = std::min(length(text, at), text.size() - std::max(at, other));
        for (size_t i = 0; i < count; ++i) std::swap(text[at + i], text[other + i]);
        break;
      }
      case 10: {
        constexpr char kMarks[] = "[]{}\",:\\\n \0%";
        text.insert(at, 1 + (below(8) == 0 ? below(300) : below(2)), kMarks[below(sizeof kMarks - 1)]);
        break;
      }
      default: {
        const size_t quote = text.find('"', at);
        if (quote != std::string::npos) text.insert(quote, 1 + below(3), 'x');
      }
    }
  }

  std::mt19937_64 random_;
};

}  // namespace thinktune::test
