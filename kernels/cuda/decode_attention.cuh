// A block takes 128 positions of one sequence and the query heads of one kv head (at most kHeads of them), so that each
// row is read once for all. A row is read by `lanes` neighbouring threads, 16 bytes each; the rows of a chunk are dealt
// to the groups of lanes in turn. A second kernel joins the chunks in order.
//
// Letters: B sequences, N query heads, K kv heads, H head size, C chunks of a context.
#pragma once

#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/device.cuh"

namespace thinktune::kernels::cuda {

inline constexpr int kChunk = 128;  // positions of a partial result, and threads of its block
inline constexpr int kChunkWarps = kChunk / static_cast<int>(kWarpSize);
inline constexpr int kRowsAtOnce = 4;  // rows whose loads are under way for each thread

template <class E>
struct PagedArguments {
  const E* q;
  KvPages<const E> pages;
  PagedSequences sequences;
  int64_t num_kv_heads, group_size, head_size, q_stride, max_chunks, num_splits, head_tiles;
  int64_t window;
  int page_shift;
  unsigned lanes;
  float scale, softcap;
  float* partial_out;    // [B, N, C, H], Σ exp(score − max) · value
  float* partial_stats;  // [B, N, C, 2]: max, Σ exp(score − max)
  E* out;
};

struct Span {
  int64_t begin, end;  // positions that are attended to
};

__device__ __forceinline__ Span attended(const PagedSequences& s, int64_t b, int64_t window) {
  const int64_t tail = s.tail_lengths[b];
  if (tail <= 0) return {0, 0};
  const int64_t end = tail + (s.prefix_lengths ? s.prefix_lengths[b] : 0);
  return {window > 0 && end > window ? end - window : 0, end};
}

template <class E>
__device__ __forceinline__ int64_t row_offset(const PagedSequences& s, const KvPages<E>& pages, int shift, int64_t b,
                                              int64_t position) {
  const int64_t prefix = s.prefix_lengths ? s.prefix_lengths[b] : 0;
  const bool in_tail = position >= prefix;
  const int64_t row = in_tail ? position - prefix : position;
  const int32_t* table = in_tail ? s.tail_pages + b * s.max_tail_pages : s.prefix_pages + b * s.max_prefix_pages;
  return table[row >> shift] * pages.page_stride + (row & (pages.page_rows - 1)) * pages.row_stride;
}

// A lane's share of a row: kVector elements at lane · kVector, and, for float heads above 128, as many half a row
// later.
template <class E>
inline constexpr int kPieces = sizeof(E) == 4 ? 2 : 1;
template <class E>
struct RowShare {
  Pack<E, kVector<E>> piece[kPieces<E>];
};

template <class E>
__device__ __forceinline__ RowShare<E> load_share(const E* row, int64_t head_size, unsigned lanes, unsigned lane,
                                                  bool wanted) {
  RowShare<E> share = {};
  TT_UNROLL
  for (int p = 0; p < kPieces<E>; ++p) {
    const int64_t i = (int64_t{p} * lanes + lane) * kVector<E>;
    if (wanted && i < head_size) share.piece[p] = load_pack<kVector<E>>(row + i);
  }
  return share;
}

// Scores of the chunk's rows, capped; −infinity before the window and behind the end.
template <class E, int kHeads, class Scores, class Offsets>
__device__ __forceinline__ void chunk_scores(const PagedArguments<E>& a, int64_t kv_head, const E* q, int heads,
                                             int rows, int first_row, Offsets offsets, Scores scores) {
  constexpr int kShare = kPieces<E> * kVector<E>;
  const unsigned lane = threadIdx.x % a.lanes;
  const int group = static_cast<int>(threadIdx.x / a.lanes), groups = kChunk / static_cast<int>(a.lanes);
  float query[kHeads][kShare];
  TT_UNROLL
  for (int h = 0; h < kHeads; ++h) {
    const RowShare<E> share = load_share(q + h * a.head_size, a.head_size, a.lanes, lane, h < heads);
    TT_UNROLL
    for (int j = 0; j < kShare; ++j) query[h][j] = to_float(share.piece[j / kVector<E>].e[j % kVector<E>]) * a.scale;
  }
  for (int base = 0; base < rows; base += groups * kRowsAtOnce) {
    RowShare<E> keys[kRowsAtOnce];
    TT_UNROLL
    for (int u = 0; u < kRowsAtOnce; ++u) {
      const int row = base + u * groups + group;
      const bool wanted = row >= first_row && row < rows;
      const int64_t offset = wanted ? static_cast<int64_t>(offsets[row]) : 0;
      keys[u] = load_share(a.pages.keys + offset + kv_head * a.head_size, a.head_size, a.lanes, lane, wanted);
    }
    TT_UNROLL
    for (int u = 0; u < kRowsAtOnce; ++u) {
      const int row = base + u * groups + group;
      TT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        if (h >= heads) break;
        float dot = 0;
        TT_UNROLL
        for (int j = 0; j < kShare; ++j) dot += query[h][j] * to_float(keys[u].piece[j / kVector<E>].e[j % kVector<E>]);
        dot = reduce_lanes(dot, Sum{}, a.lanes);
        if (lane != 0 || row >= kChunk) continue;
        if (a.softcap > 0) dot = a.softcap * tanhf(dot / a.softcap);
        scores[h * kChunk + row] = row >= first_row && row < rows ? dot : -INFINITY;
      }
    }
  }
}

// Warp by warp a head: scores become exp(score − max), 0 where there is none.
template <class Scores>
__device__ __forceinline__ void chunk_softmax(Scores scores, int heads, int rows, float* stats, int64_t head_stride) {
  const int warp = static_cast<int>(threadIdx.x / kWarpSize), lane = static_cast<int>(threadIdx.x % kWarpSize);
  for (int h = warp; h < heads; h += kChunkWarps) {
    float score[kChunk / kWarpSize], max = -INFINITY, sum = 0;
    TT_UNROLL
    for (int i = 0; i < kChunkWarps; ++i) {
      const int row = i * static_cast<int>(kWarpSize) + lane;
      score[i] = row < rows ? static_cast<float>(scores[h * kChunk + row]) : -INFINITY;
      max = Max{}(max, score[i]);
    }
    max = reduce_lanes(max, Max{});
    TT_UNROLL
    for (int i = 0; i < kChunkWarps; ++i) {
      const int row = i * static_cast<int>(kWarpSize) + lane;
      // A score that is not a number stays one: NaN fails the comparison with −infinity.
      const float e = score[i] == -INFINITY ? 0.0f : expf(score[i] - max);
      if (row < rows) scores[h * kChunk + row] = e;
      sum += e;
    }
    sum = reduce_lanes(sum, Sum{});
    if (lane == 0) {
      stats[h * head_stride] = max;
      stats[h * head_stride + 1] = sum;
    }
  }
}

// Σ probability · value: a group's rows in order, then the groups of a warp as a tree, then the warps in order.
template <class E, int kHeads, class Scores, class Offsets, class Sums>
__device__ __forceinline__ void chunk_values(const PagedArguments<E>& a, int64_t kv_head, int heads, int rows,
                                             int first_row, Offsets offsets, Scores scores, Sums sums, float* out,
                                             int64_t head_stride) {
  constexpr int kShare = kPieces<E> * kVector<E>;
  const unsigned lane = threadIdx.x % a.lanes;
  const int group = static_cast<int>(threadIdx.x / a.lanes), groups = kChunk / static_cast<int>(a.lanes);
  const int64_t head_size = a.head_size;
  float total[kHeads][kShare] = {};
  for (int base = 0; base < rows; base += groups * kRowsAtOnce) {
    RowShare<E> values[kRowsAtOnce];
    TT_UNROLL
    for (int u = 0; u < kRowsAtOnce; ++u) {
      const int row = base + u * groups + group;
      const bool wanted = row >= first_row && row < rows;
      const int64_t offset = wanted ? static_cast<int64_t>(offsets[row]) : 0;
      values[u] = load_share(a.pages.values + offset + kv_head * head_size, head_size, a.lanes, lane, wanted);
    }
    TT_UNROLL
    for (int u = 0; u < kRowsAtOnce; ++u) {
      const int row = base + u * groups + group;
      if (row < first_row || row >= rows) continue;
      TT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        if (h >= heads) break;
        const float p = scores[h * kChunk + row];
        TT_UNROLL
        for (int j = 0; j < kShare; ++j) total[h][j] += p * to_float(values[u].piece[j / kVector<E>].e[j % kVector<E>]);
      }
    }
  }
  const int warp = static_cast<int>(threadIdx.x / kWarpSize);
  TT_UNROLL
  for (int h = 0; h < kHeads; ++h) {
    if (h >= heads) break;
    TT_UNROLL
    for (int j = 0; j < kShare; ++j) {
      for (unsigned distance = kWarpSize / 2; distance >= a.lanes; distance /= 2)
        total[h][j] += __shfl_xor_sync(kFullWarp, total[h][j], static_cast<int>(distance));
      const int64_t i = (int64_t{j / kVector<E>} * a.lanes + lane) * kVector<E> + j % kVector<E>;
      if (threadIdx.x % kWarpSize < a.lanes && i < head_size) sums[(warp * heads + h) * head_size + i] = total[h][j];
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < heads * head_size; i += kChunk) {
    float sum = sums[i];
    for (int w = 1; w < kChunkWarps; ++w) sum += sums[w * heads * head_size + i];
    out[i / head_size * head_stride + i % head_size] = sum;
  }
}

template <class E, int kHeads>
__global__ void __launch_bounds__(kChunk) paged_attention_kernel(PagedArguments<E> a) {
  TT_SHARED(int64_t, offsets, kChunk);
  TT_SHARED(float, scores, kHeads* kChunk);
  TT_DYNAMIC_SHARED(float, sums);
  const int64_t b = blockIdx.y, split = blockIdx.x % a.num_splits;
  const int64_t kv_head = blockIdx.x / a.num_splits / a.head_tiles;
  const int64_t tile = blockIdx.x / a.num_splits % a.head_tiles * kHeads;
  const int heads = static_cast<int>(a.group_size - tile < kHeads ? a.group_size - tile : kHeads);
  const int64_t num_heads = a.num_kv_heads * a.group_size, head = kv_head * a.group_size + tile;
  const Span span = attended(a.sequences, b, a.window);
  for (int64_t chunk = split; chunk < a.max_chunks && chunk * kChunk < span.end; chunk += a.num_splits) {
    const int64_t start = chunk * kChunk;
    if (start + kChunk <= span.begin) continue;
    const int rows = static_cast<int>(span.end - start < kChunk ? span.end - start : kChunk);
    const int first_row = static_cast<int>(span.begin > start ? span.begin - start : 0);
    const int row = static_cast<int>(threadIdx.x);
    if (row >= first_row && row < rows) offsets[row] = row_offset(a.sequences, a.pages, a.page_shift, b, start + row);
    __syncthreads();
    chunk_scores<E, kHeads>(a, kv_head, a.q + b * a.q_stride + head * a.head_size, heads, rows, first_row, offsets,
                            scores);
    __syncthreads();
    const int64_t place = (b * num_heads + head) * a.max_chunks + chunk;
    chunk_softmax(scores, heads, rows, a.partial_stats + place * 2, a.max_chunks * 2);
    __syncthreads();
    chunk_values<E, kHeads>(a, kv_head, heads, rows, first_row, offsets, scores, sums,
                            a.partial_out + place * a.head_size, a.max_chunks * a.head_size);
    __syncthreads();
  }
}

template <class E>
__global__ void __launch_bounds__(kChunk) join_chunks_kernel(PagedArguments<E> a) {
  const int64_t num_heads = a.num_kv_heads * a.group_size, place = blockIdx.x, b = place / num_heads;
  const Span span = attended(a.sequences, b, a.window);
  const float* stats = a.partial_stats + place * a.max_chunks * 2;
  const float* partial = a.partial_out + place * a.max_chunks * a.head_size;
  const int64_t first = span.begin / kChunk, end = blocks_for(span.end, kChunk);
  const bool fits = end <= a.max_chunks;
  float max = -INFINITY;
  for (int64_t c = first; fits && c < end; ++c) max = Max{}(max, stats[2 * c]);
  for (int64_t i = threadIdx.x; i < a.head_size; i += kChunk) {
    float sum = 0, total = 0;
    for (int64_t c = first; fits && c < end; ++c) {
      const float share = expf(stats[2 * c] - max);
      sum += share * stats[2 * c + 1];
      total += share * partial[c * a.head_size + i];
    }
    const float value = !fits ? NAN : end == 0 ? 0.0f : total / sum;
    a.out[place * a.head_size + i] = from_float<E>(value);
  }
}

// A thread 16 bytes of a row.
template <class E>
__global__ void __launch_bounds__(kChunk)
    write_kv_kernel(const E* keys, const E* values, int64_t stride, const int64_t* slots, PagedSequences sequences,
                    KvPages<E> pages, int64_t num_rows, int64_t width, int page_shift) {
  const int64_t packs = width / kVector<E>, index = int64_t{blockIdx.x} * kChunk + threadIdx.x;
  if (index >= num_rows * packs) return;
  const int64_t row = index / packs, i = index % packs * kVector<E>;
  int64_t offset = 0;
  if (slots) {
    const int64_t slot = slots[row];
    if (slot < 0) return;
    offset = (slot >> page_shift) * pages.page_stride + (slot & (pages.page_rows - 1)) * pages.row_stride;
  } else {
    const int64_t at = int64_t{sequences.tail_lengths[row]} - 1;
    if (at < 0) return;
    offset = sequences.tail_pages[row * sequences.max_tail_pages + (at >> page_shift)] * pages.page_stride +
             (at & (pages.page_rows - 1)) * pages.row_stride;
  }
  store_pack(pages.keys + offset + i, load_pack<kVector<E>>(keys + row * stride + i));
  store_pack(pages.values + offset + i, load_pack<kVector<E>>(values + row * stride + i));
}

inline int page_shift_of(const char* kernel, int32_t page_rows) {
  int shift = 0;
  while (shift < 30 && (1 << shift) < page_rows) ++shift;
  if (page_rows <= 0 || (1 << shift) != page_rows) refuse(kernel, "the rows of a page are not a power of two");
  return shift;
}

int64_t paged_attention_scratch_bytes(const PagedAttentionShape& s, int64_t batch) {
  return batch * s.num_kv_heads * s.group_size * blocks_for(s.max_context, kChunk) * (s.head_size + 2) *
         static_cast<int64_t>(sizeof(float));
}

int64_t suggested_splits(const PagedAttentionShape& s, int64_t batch, int64_t num_multiprocessors) {
  // Four blocks of 128 threads a multiprocessor keep enough loads under way.
  const int64_t wanted = blocks_for(4 * num_multiprocessors, batch * s.num_kv_heads > 0 ? batch * s.num_kv_heads : 1);
  const int64_t chunks = blocks_for(s.max_context, kChunk);
  return wanted < 1 ? 1 : wanted < chunks ? wanted : chunks > 0 ? chunks : 1;
}

template <class E>
void paged_attention(const E* q, const KvPages<const E>& pages, const PagedSequences& sequences,
                     const PagedAttentionShape& shape, void* scratch, E* out, Stream stream) {
  constexpr const char* kName = "paged_attention";
  if (shape.head_size < 8 || shape.head_size > 256 || shape.head_size % 8 != 0)
    refuse(kName, "the head size is not a multiple of 8 from 8 to 256");
  if (shape.num_kv_heads <= 0 || shape.group_size <= 0 || shape.num_splits <= 0 || shape.max_context <= 0)
    refuse(kName, "a size is not positive");
  if (shape.q_stride % kVector<E> != 0 || pages.page_stride % kVector<E> != 0 || pages.row_stride % kVector<E> != 0)
    refuse(kName, "a stride is not a multiple of 16 bytes");
  require_aligned(kName, q, pages.keys, pages.values, static_cast<float*>(scratch));
  PagedArguments<E> a{q, pages, sequences, shape.num_kv_heads, shape.group_size, shape.head_size, shape.q_stride};
  a.max_chunks = blocks_for(shape.max_context, kChunk);
  a.num_splits = shape.num_splits < a.max_chunks ? shape.num_splits : a.max_chunks;
  a.window = shape.window;
  a.page_shift = page_shift_of(kName, pages.page_rows);
  a.lanes = 1;
  while (a.lanes < kWarpSize && a.lanes * kVector<E> < shape.head_size) a.lanes *= 2;
  a.scale = static_cast<float>(shape.scale);
  a.softcap = static_cast<float>(shape.softcap);
  const int64_t heads = sequences.batch * shape.num_kv_heads * shape.group_size;
  a.partial_out = static_cast<float*>(scratch);
  a.partial_stats = a.partial_out + heads * a.max_chunks * shape.head_size;
  a.out = out;
  const int tile = shape.group_size <= 4 ? 4 : 8;
  a.head_tiles = blocks_for(shape.group_size, tile);
  const int64_t tile_heads = shape.group_size < tile ? shape.group_size : tile;
  const size_t shared_bytes = static_cast<size_t>(kChunkWarps * tile_heads * shape.head_size) * sizeof(float);
  launch(kName, tile == 4 ? paged_attention_kernel<E, 4> : paged_attention_kernel<E, 8>,
         {shape.num_kv_heads * a.head_tiles * a.num_splits, sequences.batch}, kChunk, shared_bytes, stream, a);
  launch(kName, join_chunks_kernel<E>, {heads}, kChunk, 0, stream, a);
}

template <class E>
void write_rows(const char* name, const E* keys, const E* values, int64_t stride, const int64_t* slots,
                int64_t num_rows, const PagedSequences& sequences, const KvPages<E>& pages, int64_t width,
                Stream stream) {
  if (width % kVector<E> != 0 || stride % kVector<E> != 0 || pages.page_stride % kVector<E> != 0 ||
      pages.row_stride % kVector<E> != 0)
    refuse(name, "a row or a stride is not a multiple of 16 bytes");
  require_aligned(name, keys, values, pages.keys, pages.values);
  launch(name, write_kv_kernel<E>, {blocks_for(num_rows * (width / kVector<E>), kChunk)}, kChunk, 0, stream, keys,
         values, stride, slots, sequences, pages, num_rows, width, page_shift_of(name, pages.page_rows));
}

template <class E>
void append_kv(const E* keys, const E* values, int64_t stride, const KvPages<E>& pages, const PagedSequences& sequences,
               int64_t num_kv_heads, int64_t head_size, Stream stream) {
  write_rows("append_kv", keys, values, stride, nullptr, sequences.batch, sequences, pages, num_kv_heads * head_size,
             stream);
}

template <class E>
void write_kv(const E* keys, const E* values, int64_t stride, const int64_t* slots, int64_t num_tokens,
              const KvPages<E>& pages, int64_t num_kv_heads, int64_t head_size, Stream stream) {
  write_rows("write_kv", keys, values, stride, slots, num_tokens, {}, pages, num_kv_heads * head_size, stream);
}

#define TT_INSTANTIATE(E)                                                                                             \
  template void paged_attention(const E*, const KvPages<const E>&, const PagedSequences&, const PagedAttentionShape&, \
                                void*, E*, Stream);                                                                   \
  template void append_kv(const E*, const E*, int64_t, const KvPages<E>&, const PagedSequences&, int64_t, int64_t,    \
                          Stream);                                                                                    \
  template void write_kv(const E*, const E*, int64_t, const int64_t*, int64_t, const KvPages<E>&, int64_t, int64_t,   \
                         Stream);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels::cuda
