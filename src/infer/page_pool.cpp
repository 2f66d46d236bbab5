#include "infer/page_pool.h"

#include <ATen/ATen.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "thinktune/core/error.h"
#include "thinktune/infer/kv_cache.h"
#include "thinktune/ops/device.h"

namespace thinktune::infer {

PagePool::PagePool(const model::ModelConfig& config, at::ScalarType dtype, at::Device device, int64_t limit_bytes,
                   int64_t reserved_tokens)
    : num_layers_(config.num_layers),
      num_kv_heads_(config.num_kv_heads),
      head_dim_(config.head_dim),
      page_bytes_(kv_bytes(config, dtype, kPageTokens)),
      max_pages_(1 + limit_bytes / page_bytes_),
      first_pages_(std::min(max_pages_, 1 + pages_for(reserved_tokens))),
      options_(at::TensorOptions().dtype(dtype).device(device)) {}

// So many pages if there is memory for them, else those that are needed.
at::Tensor PagePool::allocate(int64_t needed, int64_t wanted) const {
  const auto storage = [&](int64_t pages) {
    return at::empty({num_layers_, 2, pages * kPageTokens, num_kv_heads_, head_dim_}, options_);
  };
  if (wanted == needed) return storage(needed);
  try {
    return storage(wanted);
  } catch (const std::exception& error) {
    if (!ops::is_out_of_memory(error)) throw;
  }
  spdlog::warn(
      "there is no memory for {} MiB of keys and values at once; they take {} MiB and grow, which costs time. To stay "
      "below it: engine.kv_cache_mib or engine.max_sequences",
      wanted * page_bytes_ >> 20, needed * page_bytes_ >> 20);
  return storage(needed);
}

// As large as was reserved, then twice as large each time, up to the limit: few allocations, and no more memory than
// twice what is used.
void PagePool::grow(int64_t num_pages) {
  TT_CHECK(num_pages <= max_pages_, "{} pages of at most {} are asked for", num_pages, max_pages_);
  const int64_t before = std::ssize(holders_);
  const at::Tensor storage = allocate(num_pages, std::min(max_pages_, std::max({num_pages, first_pages_, 2 * before})));
  const int64_t pages = storage.size(2) / kPageTokens;
  if (before > 0) storage.narrow(2, 0, before * kPageTokens).copy_(storage_);
  // What no token was written to is multiplied by a probability of zero: it must be a number.
  storage.narrow(2, before * kPageTokens, (pages - before) * kPageTokens).zero_();
  storage_ = storage;
  holders_.resize(static_cast<size_t>(pages), 0);
  for (int64_t page = pages - 1; page >= std::max<int64_t>(1, before); --page)
    free_.push_back(static_cast<int32_t>(page));
  ++generation_;
}

std::vector<int32_t> PagePool::take(int64_t count) {
  if (std::ssize(free_) < count) grow(1 + num_used_ + count);
  std::vector<int32_t> pages;
  for (int64_t i = 0; i < count; ++i) {
    pages.push_back(free_.back());
    free_.pop_back();
    hold(pages.back());
  }
  num_used_ += count;
  return pages;
}

void PagePool::let_go(int32_t page) {
  if (--holders_[static_cast<size_t>(page)] > 0) return;
  free_.push_back(page);
  --num_used_;
}

void PagePool::copy_rows(int32_t from, int32_t to, int64_t tokens) {
  storage_.narrow(2, to * kPageTokens, tokens).copy_(storage_.narrow(2, from * kPageTokens, tokens));
}

}  // namespace thinktune::infer
