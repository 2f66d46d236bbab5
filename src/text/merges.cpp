#include "text/merges.h"

#include <algorithm>
#include <tuple>

#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr TokenId kGone = -1;  // a symbol that its left neighbour has taken in

uint64_t key_of(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// std heaps keep the greatest on top, so "less" is "worse".
constexpr auto worse = [](const auto& a, const auto& b) { return std::tie(a.rank, a.left) > std::tie(b.rank, b.left); };

}  // namespace

void MergeTable::reserve(size_t num_merges) {
  merges_.reserve(num_merges);
  rank_of_pair_.reserve(num_merges);
}

bool MergeTable::add(TokenId left, TokenId right, TokenId merged) {
  if (!rank_of_pair_.try_emplace(key_of(left, right), static_cast<uint32_t>(merges_.size())).second) return false;
  merges_.push_back({left, right, merged});
  return true;
}

void MergeTable::push_candidate(uint32_t left, Workspace& workspace) const {
  const auto& symbols = workspace.symbols_;
  const uint32_t right = symbols[left].next;
  if (right == kNone) return;
  const auto found = rank_of_pair_.find(key_of(symbols[left].id, symbols[right].id));
  if (found == rank_of_pair_.end()) return;
  workspace.heap_.push_back({found->second, left});
  std::push_heap(workspace.heap_.begin(), workspace.heap_.end(), worse);
}

void MergeTable::apply(std::vector<TokenId>& word, Workspace& workspace) const {
  if (word.size() < 2) return;
  TT_CHECK(word.size() < kNone, "a word of {} bytes", word.size());
  auto& symbols = workspace.symbols_;
  auto& heap = workspace.heap_;
  const auto count = static_cast<uint32_t>(word.size());
  symbols.resize(count);
  for (uint32_t i = 0; i < count; ++i) symbols[i] = {word[i], i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
  heap.clear();
  for (uint32_t i = 0; i < count; ++i) push_candidate(i, workspace);

  while (!heap.empty()) {
    const auto [rank, index] = heap.front();
    std::pop_heap(heap.begin(), heap.end(), worse);
    heap.pop_back();
    // A neighbour may have merged since the candidate was found: the pair must still be the one that the rank stands
    // for.
    auto& left = symbols[index];
    if (left.id != merges_[rank].left || left.next == kNone) continue;
    auto& right = symbols[left.next];
    if (right.id != merges_[rank].right) continue;
    left.id = merges_[rank].merged;
    left.next = right.next;
    right.id = kGone;
    if (left.next != kNone) symbols[left.next].previous = index;
    if (left.previous != kNone) push_candidate(left.previous, workspace);
    push_candidate(index, workspace);
  }

  word.clear();
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) word.push_back(symbols[i].id);
}

}  // namespace thinktune::text
