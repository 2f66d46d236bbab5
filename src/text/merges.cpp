#include "text/merges.h"

#include <algorithm>
#include <array>
#include <bit>

#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr uint64_t kNoPair = UINT64_MAX;
constexpr TokenId kGone = -1;      // a symbol that its left neighbour has taken in
constexpr size_t kShortWord = 24;  // up to here looking through all pairs beats a heap

uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t hash_of(uint64_t pair) {
  const uint64_t hash = pair * 0x9E3779B97F4A7C15;
  return static_cast<size_t>(hash ^ hash >> 32);
}

// std heaps keep the greatest on top, so "less" is "worse".
constexpr auto worse = [](const auto& a, const auto& b) { return a.order > b.order; };

}  // namespace

void MergeTable::reserve(size_t num_merges) {
  if (slots_.empty()) slots_.assign(std::bit_ceil(2 * num_merges + 16), {kNoPair, 0, 0});
}

const MergeTable::Slot* MergeTable::find(TokenId left, TokenId right) const {
  if (slots_.empty()) return nullptr;
  const uint64_t pair = pair_of(left, right);
  for (size_t i = hash_of(pair) & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].pair == pair) return &slots_[i];
    if (slots_[i].pair == kNoPair) return nullptr;
  }
}

void MergeTable::insert(const Slot& slot) {
  size_t i = hash_of(slot.pair) & (slots_.size() - 1);
  while (slots_[i].pair != kNoPair) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = slot;
}

bool MergeTable::add(TokenId left, TokenId right, uint32_t rank, TokenId merged) {
  if (find(left, right) != nullptr) return false;
  if (2 * ++num_merges_ >= slots_.size()) {
    std::vector<Slot> old(slots_.empty() ? 16 : 2 * slots_.size(), Slot{kNoPair, 0, 0});
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.pair != kNoPair) insert(slot);
  }
  insert({pair_of(left, right), rank, merged});
  return true;
}

void MergeTable::apply(std::vector<TokenId>& word, Workspace& workspace) const {
  if (word.size() <= kShortWord) return apply_to_short(word);
  TT_CHECK(word.size() < kNone, "a word of {} bytes", word.size());
  auto& symbols = workspace.symbols_;
  auto& heap = workspace.heap_;
  const auto count = static_cast<uint32_t>(word.size());
  symbols.resize(count);
  for (uint32_t i = 0; i < count; ++i) symbols[i] = {word[i], i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
  heap.clear();
  for (uint32_t i = 0; i < count; ++i) push_candidate(i, workspace);
  std::make_heap(heap.begin(), heap.end(), worse);

  const auto push = [&](uint32_t left) {
    const size_t size = heap.size();
    push_candidate(left, workspace);
    if (heap.size() > size) std::push_heap(heap.begin(), heap.end(), worse);
  };
  while (!heap.empty()) {
    const Workspace::Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), worse);
    heap.pop_back();
    // A neighbour may have merged since the candidate was found: the pair must still be what it was.
    const auto index = static_cast<uint32_t>(best.order);
    auto& left = symbols[index];
    if (left.id != best.left || left.next == kNone) continue;
    auto& right = symbols[left.next];
    if (right.id != best.right) continue;
    left.id = best.merged;
    left.next = right.next;
    right.id = kGone;
    if (left.next != kNone) symbols[left.next].previous = index;
    if (left.previous != kNone) push(left.previous);
    push(index);
  }

  word.clear();
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) word.push_back(symbols[i].id);
  // One very long word must not hold its memory for ever.
  constexpr size_t kKeep = 1 << 16;
  if (symbols.capacity() > kKeep) workspace = Workspace();
}

// Appends the merge of a symbol with its right neighbour, if there is one, without restoring the heap's order.
void MergeTable::push_candidate(uint32_t left, Workspace& workspace) const {
  const auto& symbols = workspace.symbols_;
  const uint32_t right = symbols[left].next;
  if (right == kNone) return;
  const Slot* found = find(symbols[left].id, symbols[right].id);
  if (found == nullptr) return;
  workspace.heap_.push_back(
      {static_cast<uint64_t>(found->rank) << 32 | left, symbols[left].id, symbols[right].id, found->merged});
}

void MergeTable::apply_to_short(std::vector<TokenId>& word) const {
  std::array<const Slot*, kShortWord> merge_at;  // of symbol i with symbol i + 1
  size_t count = word.size();
  for (size_t i = 0; i + 1 < count; ++i) merge_at[i] = find(word[i], word[i + 1]);
  while (count > 1) {
    size_t best = count;
    for (size_t i = 0; i + 1 < count; ++i)
      if (merge_at[i] != nullptr && (best == count || merge_at[i]->rank < merge_at[best]->rank)) best = i;
    if (best == count) break;
    word[best] = merge_at[best]->merged;
    for (size_t i = best + 1; i + 1 < count; ++i) word[i] = word[i + 1];
    for (size_t i = best + 1; i + 2 < count; ++i) merge_at[i] = merge_at[i + 1];
    --count;
    if (best > 0) merge_at[best - 1] = find(word[best - 1], word[best]);
    if (best + 1 < count) merge_at[best] = find(word[best], word[best + 1]);
  }
  word.resize(count);
}

}  // namespace thinktune::text
