#include "text/token_table.h"

#include <bit>
#include <cstring>

#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

// Multiply and fold, eight bytes at a time, as wyhash does.
uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kFirst = 0xA0761D6478BD642F, kSecond = 0xE7037ED1A0B428DB;
  const char* data = bytes.data();
  size_t size = bytes.size();
  uint64_t hash = kFirst ^ size;
  uint64_t word = 0;
  for (; size > 8; data += 8, size -= 8) {
    std::memcpy(&word, data, 8);
    hash = mix(hash ^ word, kSecond);
  }
  word = 0;
  if (size > 0) std::memcpy(&word, data, size);
  return mix(hash ^ word, kFirst ^ kSecond);
}

void TokenTable::reserve(size_t num_tokens) {
  ends_.reserve(num_tokens);
  bytes_.reserve(8 * num_tokens);
  if (slots_.empty()) slots_.assign(std::bit_ceil(2 * num_tokens + 16), kNone);
}

bool TokenTable::add(std::string_view token, bool searchable) {
  if (searchable && find(token) != kNone) return false;
  TT_CHECK(bytes_.size() + token.size() < UINT32_MAX, "a vocabulary of more than 4 GiB");
  bytes_ += token;
  ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  if (!searchable) return true;
  if (2 * ++num_searchable_ >= slots_.size()) grow();
  insert(size() - 1);
  return true;
}

void TokenTable::grow() {
  std::vector<TokenId> old(slots_.empty() ? 16 : 2 * slots_.size(), kNone);
  old.swap(slots_);
  for (const TokenId id : old)
    if (id != kNone) insert(id);
}

void TokenTable::insert(TokenId id) {
  size_t slot = hash_bytes((*this)[id]) & (slots_.size() - 1);
  while (slots_[slot] != kNone) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = id;
}

TokenId TokenTable::find(std::string_view token) const {
  if (slots_.empty()) return kNone;
  for (size_t slot = hash_bytes(token) & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
    const TokenId id = slots_[slot];
    if (id == kNone || (*this)[id] == token) return id;
  }
}

}  // namespace thinktune::text
