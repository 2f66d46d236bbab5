// See kernels/tile_layout.h and kernels/softmax_block.h.

// Square blocks of pairs, as many each way as a register has lanes: in stage d, lanes whose bit d is set change places
// with those of the row d further on.
template <int d, class V, int... I>
TT_INLINE void exchange(V& a, V& b, Indices<int, I...>) {
  constexpr int n = sizeof...(I);
  const V upper = __builtin_shufflevector(a, b, ((I & d) == 0 ? I : n + I - d)...);
  b = __builtin_shufflevector(a, b, ((I & d) == 0 ? I + d : n + I)...);
  a = upper;
}
template <int d>
TT_INLINE void transpose_lanes(U32* v) {
  constexpr int n = TT_VECTOR_BYTES / 4;
  if constexpr (d > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i)
      if ((i & d) == 0) exchange<d>(v[i], v[i + d], FirstIndices<n>{});
    transpose_lanes<d / 2>(v);
  }
}

// A block of 16 by 16 pairs, transposed: pair_at(row, first, part) gives the pairs of a row from the given one on, as
// many as a register has lanes. Rows from num_rows on are 0. out: [16 pairs][16 rows].
template <class PairsOf>
TT_INLINE void transpose_block(int64_t num_rows, PairsOf pairs_of, Bf16* out) {
  constexpr int n = TT_VECTOR_BYTES / 4;
  auto* to = reinterpret_cast<char*>(out);
  for (int64_t pair = 0; pair < 16; pair += n)
    for (int64_t row = 0; row < 16; row += n) {
      U32 v[n];
      for (int i = 0; i < n; ++i) v[i] = row + i < num_rows ? pairs_of(row + i, pair) : U32{};
      transpose_lanes<n / 2>(v);
      for (int i = 0; i < n; ++i) __builtin_memcpy(to + ((pair + i) * 16 + row) * 4, &v[i], sizeof(U32));
    }
}

// As many pairs as a register has lanes, of which `left` are there; 0 behind them.
TT_INLINE U32 load_pairs(const Bf16* p, int64_t left) {
  constexpr int64_t n = TT_VECTOR_BYTES / 4;
  U32 v{};
  if (left >= n)
    __builtin_memcpy(&v, p, sizeof v);
  else if (left > 0)
    __builtin_memcpy(&v, p, left * 4);
  return v;
}

// Columns c, c + 1, … of two rows as pairs, of which `left` are there; 0 behind them. Without a second row its numbers
// are 0.
TT_INLINE U32 paired(const Bf16* a, const Bf16* b, int64_t left) {
  constexpr int64_t n = TT_VECTOR_BYTES / 4;
  U16 low{}, high{};
  const int64_t bytes = (left >= n ? n : left > 0 ? left : 0) * 2;
  if (bytes == sizeof low) {
    __builtin_memcpy(&low, a, sizeof low);
    if (b != nullptr) __builtin_memcpy(&high, b, sizeof high);
  } else if (bytes > 0) {
    __builtin_memcpy(&low, a, bytes);
    if (b != nullptr) __builtin_memcpy(&high, b, bytes);
  }
  return __builtin_convertvector(low, U32) | (__builtin_convertvector(high, U32) << 16);
}

constexpr int64_t kTileElements = 16 * kTileDepth;

inline void pack_along_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out) {
  for (int64_t first = 0; first < width; first += kTileDepth)
    for (int64_t row = 0; row < kTilePanel; row += 16, out += kTileElements)
      transpose_block(
          num_rows - row,
          [&](int64_t r, int64_t pair) TT_INLINE_LAMBDA {
            const int64_t column = first + 2 * pair;
            return load_pairs(rows + (row + r) * stride + column, (width - column) / 2);
          },
          out);
}

// Two rows' columns c to c + kTilePanel, all there: pairs into the same pair row of two tiles.
typedef uint16_t U16Whole __attribute__((vector_size(TT_VECTOR_BYTES)));
template <int from, int... I>
TT_INLINE U16Whole interleaved(U16Whole a, U16Whole b, Indices<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, (from + I / 2 + (I % 2) * n)...);
}
TT_INLINE void pair_columns(const Bf16* a, const Bf16* b, Bf16* out) {
  constexpr int n = TT_VECTOR_BYTES / 2;
  for (int64_t c = 0; c < kTilePanel; c += n) {
    U16Whole x, y;
    __builtin_memcpy(&x, a + c, sizeof x);
    __builtin_memcpy(&y, b + c, sizeof y);
    const U16Whole low = interleaved<0>(x, y, FirstIndices<n>{}), high = interleaved<n / 2>(x, y, FirstIndices<n>{});
    __builtin_memcpy(out + c / 16 * kTileElements + c % 16 * 2, &low, sizeof low);
    const int64_t next = c + n / 2;
    __builtin_memcpy(out + next / 16 * kTileElements + next % 16 * 2, &high, sizeof high);
  }
}

inline void pack_over_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, int64_t panel_step,
                           Bf16* out) {
  constexpr int64_t n = TT_VECTOR_BYTES / 4;
  for (int64_t row = 0; row < tile_depth(num_rows); row += kTileDepth, out += 2 * kTileElements)
    for (int64_t column = 0; column < width; column += kTilePanel) {
      Bf16* tiles = out + column / kTilePanel * panel_step;
      for (int64_t r = row; r < row + kTileDepth; r += 2, tiles += 32) {
        const Bf16 *a = rows + r * stride + column, *b = r + 1 < num_rows ? a + stride : nullptr;
        if (b != nullptr && column + kTilePanel <= width) {
          pair_columns(a, b, tiles);
          continue;
        }
        for (int64_t c = 0; c < kTilePanel; c += n) {
          const U32 pairs = r < num_rows ? paired(a + c, b == nullptr ? nullptr : b + c, width - column - c) : U32{};
          __builtin_memcpy(tiles + c / 16 * kTileElements + c % 16 * 2, &pairs, sizeof pairs);
        }
      }
    }
}

inline void pack_columns(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, int64_t tile_step,
                         Bf16* out) {
  for (int64_t row = 0; row < tile_depth(num_rows); row += kTileDepth, out += kTileElements)
    for (int64_t column = 0; column < width; column += 16)
      transpose_block((num_rows - row + 1) / 2,
                      [&](int64_t pair, int64_t c) TT_INLINE_LAMBDA {
                        const int64_t r = row + 2 * pair;
                        const Bf16* a = rows + r * stride + column + c;
                        return paired(a, r + 1 < num_rows ? a + stride : nullptr, width - column - c);
                      },
                      out + column / 16 * tile_step);
}

// R rows against two registers of a panel's columns; sums stay in registers. A pair of bf16 is two floats: its upper
// half as it stands, and its lower half shifted up.
template <int R>
TT_INLINE void multiply_columns(const TileRows& rows, int64_t depth, const Bf16* columns, bool adds, float* out,
                                int64_t out_stride) {
  constexpr int64_t lanes = kLanes<float>, second = lanes == 16 ? kTileElements : 2 * lanes;
  F32 sum[R][2] = {};
  if (adds)
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < 2; ++c) sum[r][c] = load(out + r * out_stride + c * lanes, Whole{});
  const Bf16* left = rows.at;
  for (int64_t i = 0; i < depth; i += kTileDepth, left += rows.depth_step, columns += kTileElements)
    for (int pair = 0; pair < 16; ++pair, columns += 32) {
      U32 b[2];
      __builtin_memcpy(&b[0], columns, sizeof(U32));
      __builtin_memcpy(&b[1], columns + second, sizeof(U32));
      const F32 low[2] = {(F32)(b[0] << 16), (F32)(b[1] << 16)};
      const F32 high[2] = {(F32)(b[0] & 0xffff0000u), (F32)(b[1] & 0xffff0000u)};
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        uint32_t two;
        __builtin_memcpy(&two, left + r * rows.row_step + 2 * pair, sizeof two);
        const U32 a = two - U32{};
        const F32 a_low = (F32)(a << 16), a_high = (F32)(a & 0xffff0000u);
        for (int c = 0; c < 2; ++c) sum[r][c] += a_low * low[c];
        for (int c = 0; c < 2; ++c) sum[r][c] += a_high * high[c];
      }
    }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 2; ++c) store(out + r * out_stride + c * lanes, sum[r][c], Whole{});
}
template <int R>
[[gnu::noinline]] void multiply_panel_rows(const TileRows& rows, int64_t depth, const Bf16* panel, bool adds,
                                           float* out, int64_t out_stride) {
  constexpr int64_t width = 2 * kLanes<float>;
  for (int64_t c = 0; c < kTilePanel; c += width)
    multiply_columns<R>(rows, depth, panel + c / 16 * kTileElements + c % 16 * 2, adds, out + c, out_stride);
}

inline void multiply_panel(const TileRows& rows, int64_t num_rows, int64_t depth, const Bf16* panel, bool adds,
                           float* out, int64_t out_stride) {
  constexpr int kMost = TT_VECTOR_BYTES == 64 ? 8 : 4;  // 16 sums of 32 registers; 8 of 16
  TileRows left = rows;
  for (int64_t r = 0; r < num_rows;) {
    left.at = rows.at + r / 16 * rows.tile_step + r % 16 * rows.row_step;
    const int64_t n = num_rows - r, taken = n >= kMost ? kMost : n >= 4 ? 4 : n >= 2 ? 2 : 1;
    if (taken == kMost)
      multiply_panel_rows<kMost>(left, depth, panel, adds, out, out_stride);
    else if (taken == 4)
      multiply_panel_rows<4>(left, depth, panel, adds, out, out_stride);
    else if (taken == 2)
      multiply_panel_rows<2>(left, depth, panel, adds, out, out_stride);
    else
      multiply_panel_rows<1>(left, depth, panel, adds, out, out_stride);
    r += taken;
    out += taken * out_stride;
  }
}

// Scores are scaled and capped in place, then read again. Each pass goes over all rows, which so do not wait for each
// other's maxima and sums.
template <bool caps>
TT_INLINE void softmax_rows(float* scores_RP, const SoftmaxBlock& block, float* max, float* sum, float* factor,
                            Bf16* weights) {
  const float scale = static_cast<float>(block.scale), softcap = static_cast<float>(block.softcap);
  const int64_t n = block.num_positions;
  float* scores = scores_RP;
  for (int64_t r = 0; r < block.num_rows; ++r, scores += block.width) {
    F32 max_v = broadcast(max[r]);
    over_row<float>(n, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      F32 s = load(scores + i, part) * scale;
      if constexpr (caps) s = cap_lanes<float>(s, softcap);
      s = fill<float>(s, -__builtin_inff(), part);
      max_v = s > max_v ? s : max_v;
      store(scores + i, s, part);
    });
    factor[r] = max_lanes<float>(max_v);
  }
  over_row<float>(block.num_rows, [&](int64_t r, auto part) TT_INLINE_LAMBDA {
    const F32 largest = load(factor + r, part);
    store(factor + r, exp_lanes(load(max + r, part) - largest), part);
    store(max + r, largest, part);
  });
  scores = scores_RP;
  for (int64_t r = 0; r < block.num_rows; ++r, scores += block.width, weights += block.width) {
    const float largest = max[r];
    F32 sum_v = {};
    over_row<float>(n, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const F32 weight =
          rounded<Bf16>(exp_lanes(fill<float>(load(scores + i, part), -__builtin_inff(), part) - largest));
      sum_v += weight;
      store(weights + i, weight, part);
    });
    for (int64_t i = n; i < tile_depth(n); ++i) weights[i] = Bf16{0};
    sum[r] = sum[r] * factor[r] + sum_lanes<float>(sum_v);
  }
}

inline void softmax_block(float* scores, const SoftmaxBlock& block, float* max, float* sum, float* factor,
                          Bf16* weights) {
  block.softcap > 0 ? softmax_rows<true>(scores, block, max, sum, factor, weights)
                    : softmax_rows<false>(scores, block, max, sum, factor, weights);
}

inline void scale_rows(float* rows, int64_t stride, int64_t num_rows, int64_t width, const float* factor) {
  for (int64_t r = 0; r < num_rows; ++r, rows += stride)
    over_row<float>(
        width, [&](int64_t i, auto part) TT_INLINE_LAMBDA { store(rows + i, load(rows + i, part) * factor[r], part); });
}
