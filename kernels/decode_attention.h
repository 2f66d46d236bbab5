// Attention of one new token over cached rows of keys and values, for the query heads that share one kv head (grouped
// queries: each row is read once for all of them). Online softmax (Milakov and Gimelshein 2018) over blocks of
// positions.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

// Positions of one softmax block. Blocks are counted from position 0, whatever the segments.
inline constexpr int64_t kDecodeBlock = 32;

// num_tokens rows; row i begins at keys + i · row_stride, with the first of the kv heads in question.
template <class E>
struct KvRows {
  const E* keys = nullptr;
  const E* values = nullptr;
  int64_t num_tokens = 0;
};

struct DecodeShape {
  int64_t num_kv_heads = 0;  // consecutive ones; all of a row, or a part of it
  int64_t group_size = 0;    // query heads of each
  int64_t head_size = 0;     // H
  int64_t row_stride = 0;    // elements from one token's row to the next
  double scale = 1.0;
  double softcap = 0;  // c > 0: a score s becomes c · tanh(s / c) (Gemma 2)
};

// Elements of Accum<E> that decode_attention needs as scratch: for each head the query and the output, padded to whole
// vectors, and the running softmax.
inline constexpr int64_t kRunningSoftmax = 32;
constexpr int64_t padded_head_size(int64_t head_size) { return (head_size + 15) / 16 * 16; }
constexpr int64_t decode_attention_scratch(const DecodeShape& shape) {
  return shape.num_kv_heads * shape.group_size * (2 * padded_head_size(shape.head_size) + kRunningSoftmax);
}

// What rows before these gave: for each query head the largest score, Σ exp(score − max), and Σ exp(score − max) ·
// value, [heads, H].
template <class A>
struct SoftmaxStart {
  const A* max = nullptr;  // null: there were none
  const A* sum = nullptr;
  const A* weighted = nullptr;
};

// out = softmax(cap(q · keysᵀ · scale)) · values. q, out: [num_kv_heads, group_size, H] contiguous. A head's result is
// a function of its rows in their order alone, and of `start`: not of where the segments are cut, nor of which heads
// are computed in one call. At least one row in all; segments may be empty. `following`: what the caller's next call
// begins with, to be in a cache by then.
template <class E>
void decode_attention(const E* q, const KvRows<E>* segments, int64_t num_segments, const DecodeShape& shape,
                      const SoftmaxStart<Accum<E>>& start, Accum<E>* scratch, E* out, const KvRows<E>& following = {});

}  // namespace thinktune::kernels
