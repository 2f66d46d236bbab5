// Attention of one new token a sequence over a key/value cache that lies in segments: a shared prefix, the prompt, the
// own tail. Nothing is copied, nothing is padded, no mask is made.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace thinktune::ops {

// num_tokens consecutive rows of keys and of values; a row is [kv heads, H], contiguous, in the query's dtype.
// `shared`: the segment and all before it may be those of other sequences too, which stand beside this one. In bf16
// such rows are read once for all of them, and rounded a little differently.
struct KvSegment {
  const void* keys = nullptr;
  const void* values = nullptr;
  int64_t num_tokens = 0;
  bool shared = false;
  const void* tiles = nullptr;  // of the last shared segment: what tile_kv made of all of them; null: made in each call
};

struct DecodeAttentionOptions {
  int64_t num_kv_heads = 1;  // the N query heads read kv head n / (N / num_kv_heads)
  double scale = 1.0;
  double softcap = 0;  // c > 0: a score s becomes c · tanh(s / c)
};

// q_BNH: f32, bf16 or f64, contiguous. segments[b] in the order of positions; every sequence has at least one token.
// softmax(cap(q·k·scale)) in f32 (f64 for f64), accumulated in f32,
// over the segments in order; the result for a sequence does not depend on the other sequences, nor on how what is not
// shared of its context is cut into segments (the order of the sums is by position in blocks of fixed size). Returns
// [B, N, H].
// CPU only; no gradient.
at::Tensor decode_attention(const at::Tensor& q_BNH, std::span<const std::vector<KvSegment>> segments,
                            const DecodeAttentionOptions& options);

// Keys and values of segments as products read them, for decode_attention with what these segments share: [2 · N],
// N rows as many as their tokens up to whole tiles. Undefined where nothing reads it so: for other types than bf16.
at::Tensor tile_kv(std::span<const KvSegment> segments, int64_t num_kv_heads, int64_t head_size, at::ScalarType dtype);
int64_t tiled_kv_bytes(int64_t tokens, int64_t num_kv_heads, int64_t head_size, at::ScalarType dtype);  // 0: undefined

}  // namespace thinktune::ops
