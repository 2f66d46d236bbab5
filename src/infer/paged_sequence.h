// A sequence whose keys and values lie in pages.
#pragma once

#include <vector>

#include "infer/page_pool.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/model_runner.h"

namespace thinktune::infer {

class PagedSequence final : public KvSequence {
 public:
  PagedSequence(PagePool& pool, const PagedSequence* before, int64_t capacity) : pool_(pool) {
    num_tokens_ = before != nullptr ? before->num_tokens_ : 0;
    const int64_t shared = num_tokens_ / PagePool::kPageTokens, in_last = num_tokens_ % PagePool::kPageTokens;
    for (int64_t i = 0; i < shared; ++i) {
      pages_.push_back(before->pages_[static_cast<size_t>(i)]);
      pool_.hold(pages_.back());
    }
    const std::vector<int32_t> own = pool_.take(PagePool::pages_for(num_tokens_ + capacity) - shared);
    pages_.insert(pages_.end(), own.begin(), own.end());
    // The page that `before` has not filled: each that goes on from it has its own.
    if (in_last > 0) pool_.copy_rows(before->pages_[static_cast<size_t>(shared)], own.front(), in_last);
  }
  ~PagedSequence() override {
    for (const int32_t page : pages_) pool_.let_go(page);
  }
  PagedSequence(const PagedSequence&) = delete;
  PagedSequence& operator=(const PagedSequence&) = delete;

  int64_t num_tokens() const override { return num_tokens_; }
  void add_tokens(int64_t tokens) { num_tokens_ += tokens; }

  const std::vector<int32_t>& pages() const { return pages_; }
  int64_t row(int64_t position) const {
    const auto page = static_cast<size_t>(position / PagePool::kPageTokens);
    TT_CHECK(page < pages_.size(), "position {} of a sequence with room for {} tokens", position,
             std::ssize(pages_) * PagePool::kPageTokens);
    return pages_[page] * PagePool::kPageTokens + position % PagePool::kPageTokens;
  }

 private:
  PagePool& pool_;
  std::vector<int32_t> pages_;
  int64_t num_tokens_ = 0;
};

inline PagedSequence& paged(KvSequence& sequence) { return static_cast<PagedSequence&>(sequence); }

}  // namespace thinktune::infer
