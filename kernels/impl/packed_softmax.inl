// See kernels/packed_softmax.h.

// Whether columns first, first + 1, … are seen, as lanes of all ones or zeros.
struct Seen {
  I32 begin[2], end[2];

  TT_INLINE explicit Seen(const SeenColumns& seen) {
    for (int i = 0; i < 2; ++i) {
      const I32 lanes = lane_numbers<I32>(FirstIndices<kLanes<float>>{});
      begin[i] = seen.begin[i] - lanes;
      end[i] = seen.end[i] - lanes;
    }
  }
  TT_INLINE auto at(int64_t first) const {
    const int32_t f = static_cast<int32_t>(first);
    return ((f >= begin[0]) & (f < end[0])) | ((f >= begin[1]) & (f < end[1]));
  }
};

template <bool caps>
TT_INLINE F32 capped_score(const float* score, float scale, float softcap) {
  const F32 s = load(score, Whole{}) * scale;
  if constexpr (caps)
    return cap_lanes<float>(s, softcap);
  else
    return s;
}

template <bool caps>
TT_INLINE void packed_forward_rows(const float* scores, const PackedScores& shape, const SeenColumns* seen_T,
                                   Bf16* weights, float* inverse_sum, float* lse) {
  constexpr int64_t n = kLanes<float>;
  const float scale = static_cast<float>(shape.scale), softcap = static_cast<float>(shape.softcap);
  for (int64_t t = 0; t < shape.num_tokens; ++t) {
    const Seen seen(seen_T[t]);
    for (int64_t g = 0; g < shape.group_size; ++g, scores += shape.width, weights += shape.width, ++inverse_sum) {
      F32 max_v = broadcast(-__builtin_inff());
      for (int64_t s = 0; s < shape.width; s += n) {
        const F32 score = capped_score<caps>(scores + s, scale, softcap);
        max_v = seen.at(s) & (score > max_v) ? score : max_v;
      }
      const float max = max_lanes<float>(max_v);
      F32 sum_v = {};
      for (int64_t s = 0; s < shape.width; s += n) {
        const F32 score = capped_score<caps>(scores + s, scale, softcap);
        const F32 weight = rounded<Bf16>(seen.at(s) ? exp_lanes(score - max) : F32{});
        sum_v += weight;
        store(weights + s, weight, Whole{});
      }
      const float sum = sum_lanes<float>(sum_v);
      *inverse_sum = 1 / sum;
      lse[t * shape.lse_stride + g] = max + static_cast<float>(::log(static_cast<double>(sum)));
    }
  }
}

inline void packed_softmax_forward(const float* scores, const PackedScores& shape, const SeenColumns* seen_T,
                                   Bf16* weights, float* inverse_sum, float* lse) {
  shape.softcap > 0 ? packed_forward_rows<true>(scores, shape, seen_T, weights, inverse_sum, lse)
                    : packed_forward_rows<false>(scores, shape, seen_T, weights, inverse_sum, lse);
}

template <bool caps>
TT_INLINE void packed_backward_rows(const float* scores, const float* dweights, const PackedScores& shape,
                                    const SeenColumns* seen_T, const float* lse, const float* dot, Bf16* weights,
                                    Bf16* dscores) {
  constexpr int64_t n = kLanes<float>;
  const float scale = static_cast<float>(shape.scale), softcap = static_cast<float>(shape.softcap);
  const float inverse_cap = caps ? 1 / softcap : 0;
  for (int64_t t = 0; t < shape.num_tokens; ++t) {
    const Seen seen(seen_T[t]);
    for (int64_t g = 0; g < shape.group_size; ++g, ++dot) {
      const float row_lse = lse[t * shape.lse_stride + g];
      for (int64_t s = 0; s < shape.width; s += n) {
        const F32 score = capped_score<caps>(scores + s, scale, softcap);
        const F32 weight = seen.at(s) ? exp_lanes(score - row_lse) : F32{};
        F32 gradient = weight * (load(dweights + s, Whole{}) - *dot) * scale;
        if constexpr (caps) {
          const F32 ratio = score * inverse_cap;
          gradient *= 1.0f - ratio * ratio;
        }
        store(weights + s, weight, Whole{});
        store(dscores + s, gradient, Whole{});
      }
      scores += shape.width, dweights += shape.width, weights += shape.width, dscores += shape.width;
    }
  }
}

inline void packed_softmax_backward(const float* scores, const float* dweights, const PackedScores& shape,
                                    const SeenColumns* seen_T, const float* lse, const float* dot, Bf16* weights,
                                    Bf16* dscores) {
  shape.softcap > 0 ? packed_backward_rows<true>(scores, dweights, shape, seen_T, lse, dot, weights, dscores)
                    : packed_backward_rows<false>(scores, dweights, shape, seen_T, lse, dot, weights, dscores);
}

inline void row_dots(const Bf16* a, const Bf16* b, int64_t num_rows, int64_t width, float* dot) {
  for (int64_t r = 0; r < num_rows; ++r, a += width, b += width) {
    F32 sum = {};
    over_row<float>(width,
                    [&](int64_t i, auto part) TT_INLINE_LAMBDA { sum += load(a + i, part) * load(b + i, part); });
    dot[r] = sum_lanes<float>(sum);
  }
}
