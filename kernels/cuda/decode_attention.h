// Attention of one new token of each sequence over keys and values in pages: pages of a prefix, which sequences may
// share, then pages of the sequence's own tail. Formulas: kernels/decode_attention.h.
//
// Everything that changes from token to token (tables, lengths) is read on the device, and the grid depends on sizes of
// the launch alone: a CUDA graph that captured it can be replayed as sequences grow and change places.
//
// Letters: B sequences of the launch (places that stand empty have lengths 0), N query heads, K kv heads, H head size.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace thinktune::kernels::cuda {

// Where the rows are: row r of page p begins at keys + p · page_stride + r · row_stride, with the first of the kv
// heads. E: const float or const Bf16 for who reads. Strides in elements, multiples of 16 bytes.
template <class E>
struct KvPages {
  E* keys = nullptr;
  E* values = nullptr;
  int64_t page_stride = 0;
  int64_t row_stride = 0;
  int32_t page_rows = 0;  // a power of two
};

// Device arrays. Position t of sequence b is row t of its prefix, or row t − prefix_lengths[b] of its tail.
struct PagedSequences {
  int64_t batch = 0;                        // B
  const int32_t* prefix_pages = nullptr;    // [B, max_prefix_pages]
  const int32_t* prefix_lengths = nullptr;  // [B]; null: no sequence has a prefix
  const int32_t* tail_pages = nullptr;      // [B, max_tail_pages]
  const int32_t* tail_lengths = nullptr;    // [B], with the new token; 0: the place is empty
  int64_t max_prefix_pages = 0;
  int64_t max_tail_pages = 0;
};

struct PagedAttentionShape {
  int64_t num_kv_heads = 0;
  int64_t group_size = 0;   // query heads of each
  int64_t head_size = 0;    // 8 … 256, a multiple of 8
  int64_t max_context = 0;  // positions that any sequence may reach; a longer one gets NaN
  int64_t num_splits = 1;   // blocks that share a context; changes the speed, not one bit of the result
  int64_t q_stride = 0;     // elements from one sequence's queries [N, H] to the next's
  int64_t window = 0;       // the last positions that are attended to; 0: all
  double scale = 1;
  double softcap = 0;  // as DecodeShape's
};

// Bytes of scratch: partial results of each 128 positions.
int64_t paged_attention_scratch_bytes(const PagedAttentionShape& shape, int64_t batch);

// out: [B, N, H] contiguous; zeros in an empty place. Softmax and sums in float: within 128 positions at once, then
// over these in order.
template <class E>
void paged_attention(const E* q, const KvPages<const E>& pages, const PagedSequences& sequences,
                     const PagedAttentionShape& shape, void* scratch, E* out, Stream stream);

// Blocks a context should be shared by, for so many sequences to fill a device of so many multiprocessors.
int64_t suggested_splits(const PagedAttentionShape& shape, int64_t batch, int64_t num_multiprocessors);

// Writes the new token's keys and values, [B, K, H] with `stride` elements from one sequence to the next, to row
// tail_lengths[b] − 1 of the tail. Empty places are left out.
template <class E>
void append_kv(const E* keys, const E* values, int64_t stride, const KvPages<E>& pages, const PagedSequences& sequences,
               int64_t num_kv_heads, int64_t head_size, Stream stream);

// The same for any rows, as of a prompt: token i goes to row slots[i] % page_rows of page slots[i] / page_rows; a
// negative slot is left out. slots: device, [num_tokens].
template <class E>
void write_kv(const E* keys, const E* values, int64_t stride, const int64_t* slots, int64_t num_tokens,
              const KvPages<E>& pages, int64_t num_kv_heads, int64_t head_size, Stream stream);

}  // namespace thinktune::kernels::cuda
