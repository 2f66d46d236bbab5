// The second half of byte-level BPE: the symbols of one word are merged, best merge first, leftmost first among equals.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "thinktune/text/tokenizer.h"

namespace thinktune::text {

// Immutable once filled; any number of threads, each with a Workspace of its own.
class MergeTable {
 public:
  // Memory that words share.
  class Workspace {
    friend class MergeTable;
    struct Symbol {
      TokenId id;
      uint32_t previous;
      uint32_t next;
    };
    struct Candidate {
      uint32_t rank;
      uint32_t left;  // index of the left symbol
    };
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
  };

  void reserve(size_t num_merges);

  // The next merge in rank; false if the pair has one already.
  bool add(TokenId left, TokenId right, TokenId merged);

  // Replaces the word's symbols by its tokens. O(n log n) in the length of the word, which is below 2^32 - 1.
  void apply(std::vector<TokenId>& word, Workspace& workspace) const;

 private:
  struct Merge {
    TokenId left;
    TokenId right;
    TokenId merged;
  };

  void push_candidate(uint32_t left, Workspace& workspace) const;

  std::vector<Merge> merges_;                            // by rank: 0 is merged first
  std::unordered_map<uint64_t, uint32_t> rank_of_pair_;  // by (left id, right id)
};

}  // namespace thinktune::text
