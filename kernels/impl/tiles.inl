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

inline void pack_along_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out) {
  constexpr int n = TT_VECTOR_BYTES / 4;
  const int64_t num_pairs = width / 2;
  const auto* from = reinterpret_cast<const char*>(rows);
  auto* to = reinterpret_cast<char*>(out);
  for (int64_t pair = 0; pair < num_pairs; pair += n)
    for (int64_t row = 0; row < kTilePanel; row += n) {
      U32 v[n];
      const bool whole = pair + n <= num_pairs;
      for (int i = 0; i < n; ++i) {
        v[i] = U32{};
        if (row + i >= num_rows) continue;
        const char* p = from + ((row + i) * stride + 2 * pair) * 2;
        whole ? __builtin_memcpy(&v[i], p, sizeof(U32)) : __builtin_memcpy(&v[i], p, (num_pairs - pair) * 4);
      }
      transpose_lanes<n / 2>(v);
      for (int i = 0; i < n && pair + i < num_pairs; ++i)
        __builtin_memcpy(to + ((pair + i) * kTilePanel + row) * 4, &v[i], sizeof(U32));
    }
}

// Two rows of 16-bit numbers, number by number.
TT_INLINE U32 paired(const Bf16* a, const Bf16* b) {
  U16 low, high;
  __builtin_memcpy(&low, a, sizeof low);
  __builtin_memcpy(&high, b, sizeof high);
  return __builtin_convertvector(low, U32) | (__builtin_convertvector(high, U32) << 16);
}

inline void pack_over_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out) {
  constexpr int64_t n = kLanes<float>;
  for (int64_t row = 0; row < num_rows; row += 2, out += 2 * width) {
    const Bf16 *a = rows + row * stride, *b = a + stride;
    const bool has_partner = row + 1 < num_rows;
    int64_t c = 0;
    for (; has_partner && c + n <= width; c += n) {
      const U32 pairs = paired(a + c, b + c);
      __builtin_memcpy(out + 2 * c, &pairs, sizeof pairs);
    }
    for (; c < width; ++c) {
      out[2 * c] = a[c];
      out[2 * c + 1] = has_partner ? b[c] : Bf16{0};
    }
  }
}

// Scores are scaled and capped in place, then read again.
template <bool caps>
TT_INLINE void softmax_rows(float* scores, const SoftmaxBlock& block, float* max, float* sum, float* factor,
                            Bf16* weights) {
  const float scale = static_cast<float>(block.scale), softcap = static_cast<float>(block.softcap);
  const int64_t n = block.num_positions;
  for (int64_t r = 0; r < block.num_rows; ++r, scores += block.width, weights += block.width) {
    F32 max_v = broadcast(max[r]);
    over_row<float>(n, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      F32 s = load(scores + i, part) * scale;
      if constexpr (caps) s = cap_lanes<float>(s, softcap);
      s = fill<float>(s, -__builtin_inff(), part);
      max_v = s > max_v ? s : max_v;
      store(scores + i, s, part);
    });
    const float largest = max_lanes<float>(max_v);
    factor[r] = exp_lanes(broadcast(max[r] - largest))[0];
    F32 sum_v = {};
    over_row<float>(n, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const F32 weight =
          rounded<Bf16>(exp_lanes(fill<float>(load(scores + i, part), -__builtin_inff(), part) - largest));
      sum_v += weight;
      store(weights + i, weight, part);
    });
    for (int64_t i = n; i < block.width; ++i) weights[i] = Bf16{0};
    sum[r] = sum[r] * factor[r] + sum_lanes<float>(sum_v);
    max[r] = largest;
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
