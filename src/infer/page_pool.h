// Keys and values in pages of a fixed number of tokens, all in one allocation.
//
// Letters: K key/value heads, H head size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "thinktune/model/config.h"

namespace thinktune::infer {

// A page holds kPageTokens consecutive tokens of one sequence, or of all that begin with them: it is counted, and free
// again when no sequence holds it. Page 0 belongs to nobody: rows of a batch that stand for no sequence write there.
class PagePool {
 public:
  static constexpr int64_t kPageTokens = 16;

  // At most so many bytes; memory is taken when pages are first asked for: so much that `reserved_tokens` go in as far
  // as the limit allows, so that what they were counted for never makes the pool grow, and lie elsewhere. Where there
  // is no memory for so many, only for those that are asked for, it warns and grows as they are.
  PagePool(const model::ModelConfig& config, at::ScalarType dtype, at::Device device, int64_t limit_bytes,
           int64_t reserved_tokens = 0);

  static int64_t pages_for(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }
  int64_t page_bytes() const { return page_bytes_; }
  int64_t num_pages() const { return std::ssize(holders_); }  // that there is memory for
  int64_t num_used() const { return num_used_; }

  // So many pages more, each held once. The pool grows if it has too few free ones: then it lies elsewhere, and
  // generation() is another. Throws Error{Internal} beyond the limit.
  std::vector<int32_t> take(int64_t count);
  void hold(int32_t page) { ++holders_[static_cast<size_t>(page)]; }
  void let_go(int32_t page);
  int64_t generation() const { return generation_; }

  // The first `tokens` rows of a page, in all layers.
  void copy_rows(int32_t from, int32_t to, int64_t tokens);

  // All rows of a layer, [pages · kPageTokens, K, H]: row of a token = page · kPageTokens + its place in the page.
  at::Tensor keys(int64_t layer) const { return storage_.select(0, layer).select(0, 0); }
  at::Tensor values(int64_t layer) const { return storage_.select(0, layer).select(0, 1); }

 private:
  void grow(int64_t num_pages);
  at::Tensor allocate(int64_t needed, int64_t wanted) const;

  int64_t num_layers_, num_kv_heads_, head_dim_, page_bytes_, max_pages_, first_pages_;
  at::TensorOptions options_;
  at::Tensor storage_;  // [layers, 2, pages · kPageTokens, K, H]
  std::vector<int32_t> holders_, free_;
  int64_t num_used_ = 0, generation_ = 0;
};

}  // namespace thinktune::infer
