// The second half of byte-pair encoding: the symbols of one word are merged, best merge first, leftmost first among
// equals.
#pragma once

#include <cstdint>
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
      uint64_t order;  // rank, then the left symbol's index: smaller is merged first
      TokenId left;    // what the pair was when it was found
      TokenId right;
      TokenId merged;
    };
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
  };

  void reserve(size_t num_merges);

  // False if the pair has a merge already. Smaller ranks are merged first; several merges may share one. Ids are not
  // negative.
  bool add(TokenId left, TokenId right, uint32_t rank, TokenId merged);

  // Replaces the word's symbols by its tokens. O(n log n) in the length of the word, which is below 2^32 - 1.
  void apply(std::vector<TokenId>& word, Workspace& workspace) const;

 private:
  struct Slot {
    uint64_t pair;  // kNoPair where empty
    uint32_t rank;
    TokenId merged;
  };

  const Slot* find(TokenId left, TokenId right) const;
  void insert(const Slot& slot);
  void apply_to_short(std::vector<TokenId>& word) const;
  void push_candidate(uint32_t left, Workspace& workspace) const;

  std::vector<Slot> slots_;  // open addressing, at most half full
  size_t num_merges_ = 0;
};

}  // namespace thinktune::text
