// The tokens of a vocabulary by id, and ids by token. Flat memory: a vocabulary of 262,144 pieces is a few megabytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

uint64_t hash_bytes(std::string_view bytes);

// Immutable once filled: any number of threads.
class TokenTable {
 public:
  static constexpr TokenId kNone = -1;

  void reserve(size_t num_tokens);

  // The next id's token. With `searchable` false find() does not see it. False, and nothing is added, if a searchable
  // one is there already.
  bool add(std::string_view token, bool searchable = true);

  TokenId find(std::string_view token) const;

  std::string_view operator[](TokenId id) const {
    const size_t begin = id == 0 ? 0 : ends_[static_cast<size_t>(id) - 1];
    return std::string_view(bytes_).substr(begin, ends_[static_cast<size_t>(id)] - begin);
  }
  TokenId size() const { return static_cast<TokenId>(ends_.size()); }

 private:
  void grow();
  void insert(TokenId id);

  std::string bytes_;
  std::vector<uint32_t> ends_;
  std::vector<TokenId> slots_;  // open addressing, kNone where empty; at most half full
  size_t num_searchable_ = 0;
};

}  // namespace thinktune::text
