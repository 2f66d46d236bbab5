// The tokens of the words met most: most words of a text have been met before. One cache a thread, of a fixed size, for
// all tokenizers.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/token_table.h"

namespace thinktune::text {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 26;
  static constexpr size_t kMaxTokens = 8;

  // One cache line.
  struct Slot {
    uint32_t owner = 0;
    uint8_t num_bytes = 0;
    uint8_t num_tokens = 0;
    char bytes[kMaxBytes] = {};
    TokenId tokens[kMaxTokens] = {};
  };

  static WordCache& of_this_thread() {
    thread_local WordCache cache;
    return cache;
  }

  // A number that no other owner has had: a tokenizer that is gone leaves nothing behind for the next one.
  static uint32_t new_owner();

  // The word's place, which may hold another word. `word` has 1 to kMaxBytes bytes.
  Slot& slot_of(std::string_view word) { return slots_[hash_bytes(word) & (kNumSlots - 1)]; }

  static bool holds(const Slot& slot, uint32_t owner, std::string_view word) {
    return slot.owner == owner && slot.num_bytes == word.size() &&
           std::memcmp(slot.bytes, word.data(), word.size()) == 0;
  }

  static void fill(Slot& slot, uint32_t owner, std::string_view word, const TokenId* tokens, size_t num_tokens) {
    if (num_tokens > kMaxTokens) return;
    slot.owner = owner;
    slot.num_bytes = static_cast<uint8_t>(word.size());
    slot.num_tokens = static_cast<uint8_t>(num_tokens);
    std::memcpy(slot.bytes, word.data(), word.size());
    if (num_tokens > 0) std::memcpy(slot.tokens, tokens, num_tokens * sizeof(TokenId));
  }

 private:
  static constexpr size_t kNumSlots = 1 << 15;  // 2 MiB
  WordCache() : slots_(kNumSlots) {}
  std::vector<Slot> slots_;
};

}  // namespace thinktune::text
