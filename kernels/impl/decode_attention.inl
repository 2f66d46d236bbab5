// Letters: N query heads, G those of one tile (of one kv head), H head size, P positions of the block.
//
// A block of kDecodeBlock positions: scores of G heads at once (a key row is read once for all of them), their maximum,
// exp, and the weighted sum of the value rows (again one read for G heads), folded into the running maximum, sum and
// output of each head.

// G heads at a time: with more, scores and sums no longer fit into registers.
inline constexpr int64_t kMaxTile = 4;

// One block's rows; the pointers behind num_positions repeat the last one, which keeps whole-vector steps in bounds.
template <class E>
struct Block {
  const E* keys[kDecodeBlock];
  const E* values[kDecodeBlock];
  int64_t num_positions = 0;
  int64_t head_size = 0;
  int64_t padded = 0;
  int64_t offset = 0;  // of the kv head in a row
  Accum<E> softcap = 0;
};

// The rows of the block behind this one are asked from memory while this one is computed, a piece at each step: heads
// read rows in short pieces at a stride, which the processor's own prefetching does not follow, and a burst of requests
// would wait for itself.
template <class E>
TT_INLINE void prefetch(const E* row, int64_t head_size) {
  for (int64_t h = 0; h < head_size; h += 64 / static_cast<int64_t>(sizeof(E))) __builtin_prefetch(row + h);
}

// scores_GP[g][p] = q_g · key_p, −infinity behind the last position. A few keys at a time: each part of a query is read
// once for all of them, their sums do not wait for each other, and are folded while they are in registers.
template <class E, int G>
TT_INLINE void block_scores(const Block<E>& block, const Block<E>& ahead, const Accum<E>* q_GH,
                            Accum<E> (*scores_GP)[kDecodeBlock]) {
  using A = Accum<E>;
  constexpr int64_t lanes = kLanes<A>;
  const int64_t num_positions = block.num_positions, head_size = block.head_size, padded = block.padded;
  constexpr int kKeys =
      TT_VECTOR_BYTES == 64 && lanes >= 4 ? 4 : 2;  // G · kKeys sums: of 32 registers there, of 16 elsewhere
  for (int64_t p = 0; p < num_positions; p += lanes) {
    Vec<A> folded[G][lanes / kKeys];
    for (int64_t j = 0; j < lanes; j += kKeys) {
      const E* keys[kKeys];
#pragma GCC unroll 4
      for (int i = 0; i < kKeys; ++i) {
        keys[i] = block.keys[p + j + i] + block.offset;
        prefetch(ahead.keys[p + j + i] + block.offset, head_size);
      }
      Vec<A> dots[G][kKeys] = {};
      over_row<A>(head_size, [&](int64_t h, auto part) TT_INLINE_LAMBDA {
        Vec<A> k[kKeys];
#pragma GCC unroll 4
        for (int i = 0; i < kKeys; ++i) k[i] = load(keys[i] + h, part);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
          const Vec<A> q = load(q_GH + g * padded + h, Whole{});
#pragma GCC unroll 4
          for (int i = 0; i < kKeys; ++i) dots[g][i] += q * k[i];
        }
      });
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) folded[g][j / kKeys] = sum_tree<A, kKeys>(dots[g]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      Vec<A> scores = sum_tree<A, lanes / kKeys, kKeys>(folded[g]);
      if (p + lanes > num_positions)
        scores = fill<A>(scores, static_cast<A>(-__builtin_inf()), Part{num_positions - p});
      store(scores_GP[g] + p, scores, Whole{});
    }
  }
}

// c · tanh(s / c) as c · (2 σ(2 s / c) − 1).
template <class A>
TT_INLINE Vec<A> cap_lanes(Vec<A> s, A softcap) {
  return softcap * (A(2) / (A(1) + exp_lanes(A(-2) / softcap * s)) - A(1));
}

// −infinity behind the last position, as before.
template <class A>
TT_INLINE void cap_scores(A* scores_P, int64_t num_positions, A softcap) {
  constexpr int64_t lanes = kLanes<A>;
  for (int64_t p = 0; p < num_positions; p += lanes) {
    Vec<A> capped = cap_lanes<A>(load(scores_P + p, Whole{}), softcap);
    if (p + lanes > num_positions) capped = fill<A>(capped, static_cast<A>(-__builtin_inf()), Part{num_positions - p});
    store(scores_P + p, capped, Whole{});
  }
}

// Scores become weights; returns what the output so far is to be multiplied by. softmax: [0] the running maximum, from
// [16] on Σ exp(score − maximum) by lanes.
template <class A>
TT_INLINE A softmax_step(A* scores_P, int64_t num_positions, A* softmax) {
  constexpr int64_t lanes = kLanes<A>;
  Vec<A> max_v = broadcast(softmax[0]);
  for (int64_t p = 0; p < num_positions; p += lanes) {
    const Vec<A> s = load(scores_P + p, Whole{});
    max_v = s > max_v ? s : max_v;
  }
  const A max = max_lanes<A>(max_v);
  const A correction = exp_lanes(broadcast(softmax[0] - max))[0];
  Vec<A> sum = load(softmax + 16, Whole{}) * correction;
  for (int64_t p = 0; p < num_positions; p += lanes) {
    const Vec<A> weights = exp_lanes(load(scores_P + p, Whole{}) - max);
    sum += weights;
    store(scores_P + p, weights, Whole{});
  }
  softmax[0] = max;
  store(softmax + 16, sum, Whole{});
  return correction;
}

// out_g[h …] = out_g[h …] · correction_g + Σ_p weight_gp · value_p[h …] for C vectors of the head, from h on.
template <class E, int G, int C, class P>
TT_INLINE void add_values(const Block<E>& block, const Block<E>& ahead, const Accum<E> (*weights_GP)[kDecodeBlock],
                          const Accum<E>* correction_G, int64_t h, P part, Accum<E>* out_GH) {
  using A = Accum<E>;
  constexpr int64_t lanes = kLanes<A>;
  const int64_t padded = block.padded;
  Vec<A> sum[G][C];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sum[g][c] = load(out_GH + g * padded + h + c * lanes, Whole{}) * correction_G[g];
  for (int64_t p = 0; p < block.num_positions; ++p) {
    prefetch(ahead.values[p] + block.offset + h, C * lanes);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const Vec<A> v = load(block.values[p] + block.offset + h + c * lanes, part);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) sum[g][c] += v * weights_GP[g][p];
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) store(out_GH + g * padded + h + c * lanes, sum[g][c], Whole{});
}

// A function for each tile size G: its sums live in registers.
template <class E, int G>
[[gnu::noinline]] void attend_block(const Block<E>& block, const Block<E>& ahead, const Accum<E>* q_GH,
                                    Accum<E>* softmax_G, Accum<E>* out_GH) {
  using A = Accum<E>;
  constexpr int64_t lanes = kLanes<A>;
  constexpr int C = TT_VECTOR_BYTES == 64 ? 4 : 2;  // G · C sums: of 32 registers there, of 16 elsewhere
  A scores_GP[G][kDecodeBlock];
  A correction_G[G];
  block_scores<E, G>(block, ahead, q_GH, scores_GP);
  if (block.softcap > 0)
    for (int g = 0; g < G; ++g) cap_scores<A>(scores_GP[g], block.num_positions, block.softcap);
  for (int g = 0; g < G; ++g)
    correction_G[g] = softmax_step<A>(scores_GP[g], block.num_positions, softmax_G + g * kRunningSoftmax);
  const int64_t head_size = block.head_size;
  int64_t h = 0;
  for (; h + C * lanes <= head_size; h += C * lanes)
    add_values<E, G, C>(block, ahead, scores_GP, correction_G, h, Whole{}, out_GH);
  for (; h + lanes <= head_size; h += lanes)
    add_values<E, G, 1>(block, ahead, scores_GP, correction_G, h, Whole{}, out_GH);
  if (h < head_size) add_values<E, G, 1>(block, ahead, scores_GP, correction_G, h, Part{head_size - h}, out_GH);
}

// Walks the rows of all segments and hands out blocks of pointers.
template <class E>
struct RowWalk {
  const KvRows<E>* segments;
  int64_t num_segments;
  int64_t row_stride;
  int64_t segment = 0;
  int64_t row = 0;

  // Fills the block with the next rows; none at the end.
  TT_INLINE void next(Block<E>& block) {
    int64_t count = 0;
    while (count < kDecodeBlock && segment < num_segments) {
      const KvRows<E>& s = segments[segment];
      for (; row < s.num_tokens && count < kDecodeBlock; ++row, ++count) {
        block.keys[count] = s.keys + row * row_stride;
        block.values[count] = s.values + row * row_stride;
      }
      if (row == s.num_tokens) ++segment, row = 0;
    }
    block.num_positions = count;
    for (int64_t i = count; i < kDecodeBlock && count > 0; ++i)
      block.keys[i] = block.keys[count - 1], block.values[i] = block.values[count - 1];
  }
};

// All query heads of one kv head, a tile at a time.
template <class E>
TT_INLINE void attend_group(const Block<E>& block, const Block<E>& ahead, int64_t group_size, const Accum<E>* q_GH,
                            Accum<E>* softmax_G, Accum<E>* out_GH) {
  for (int64_t g = 0; g < group_size; g += kMaxTile) {
    const Accum<E>* tile_q = q_GH + g * block.padded;
    Accum<E>*tile_out = out_GH + g * block.padded, *tile_softmax = softmax_G + g * kRunningSoftmax;
    switch (group_size - g) {
      case 1:
        attend_block<E, 1>(block, ahead, tile_q, tile_softmax, tile_out);
        break;
      case 2:
        attend_block<E, 2>(block, ahead, tile_q, tile_softmax, tile_out);
        break;
      case 3:
        attend_block<E, 3>(block, ahead, tile_q, tile_softmax, tile_out);
        break;
      default:
        attend_block<E, kMaxTile>(block, ahead, tile_q, tile_softmax, tile_out);
        break;
    }
  }
}

template <class E>
void decode_attention(const E* q, const KvRows<E>* segments, int64_t num_segments, const DecodeShape& shape,
                      const SoftmaxStart<Accum<E>>& start, Accum<E>* scratch, E* out, const KvRows<E>& following) {
  using A = Accum<E>;
  const int64_t group_size = shape.group_size, head_size = shape.head_size;
  const int64_t num_heads = shape.num_kv_heads * group_size, padded = padded_head_size(head_size);
  A* q_NH = scratch;
  A* out_NH = q_NH + num_heads * padded;
  A* softmax_N = out_NH + num_heads * padded;
  __builtin_memset(scratch, 0, decode_attention_scratch(shape) * sizeof(A));
  for (int64_t n = 0; n < num_heads; ++n) {
    for (int64_t h = 0; h < head_size; ++h)
      q_NH[n * padded + h] = widen(q[n * head_size + h]) * static_cast<A>(shape.scale);
    softmax_N[n * kRunningSoftmax] = start.max != nullptr ? start.max[n] : static_cast<A>(-__builtin_inf());
    if (start.max == nullptr) continue;
    softmax_N[n * kRunningSoftmax + 16] = start.sum[n];
    for (int64_t h = 0; h < head_size; ++h) out_NH[n * padded + h] = start.weighted[n * head_size + h];
  }

  RowWalk<E> walk{segments, num_segments, shape.row_stride}, behind{&following, 1, shape.row_stride};
  Block<E> blocks[2], first_behind;
  for (Block<E>& block : blocks)
    block.head_size = head_size, block.padded = padded, block.softcap = static_cast<A>(shape.softcap);
  walk.next(blocks[0]);
  behind.next(first_behind);
  for (int current = 0; blocks[current].num_positions > 0; current = 1 - current) {
    Block<E>& block = blocks[current];
    walk.next(blocks[1 - current]);
    const Block<E>& next = blocks[1 - current].num_positions > 0 ? blocks[1 - current] : first_behind;
    const Block<E>& ahead = next.num_positions > 0 ? next : block;
    for (int64_t kv = 0; kv < shape.num_kv_heads; ++kv) {
      const int64_t n = kv * group_size;
      block.offset = kv * head_size;
      attend_group(block, ahead, group_size, q_NH + n * padded, softmax_N + n * kRunningSoftmax, out_NH + n * padded);
      for (int64_t p = block.num_positions; p < ahead.num_positions; ++p) {
        prefetch(ahead.keys[p] + block.offset, head_size);
        prefetch(ahead.values[p] + block.offset, head_size);
      }
    }
  }

  for (int64_t n = 0; n < num_heads; ++n) {
    const A inverse = A(1) / sum_lanes<A>(load(softmax_N + n * kRunningSoftmax + 16, Whole{}));
    for (int64_t h = 0; h < head_size; ++h) out[n * head_size + h] = narrow<E>(out_NH[n * padded + h] * inverse);
  }
}
