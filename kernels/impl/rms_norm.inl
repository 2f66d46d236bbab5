// See kernels/rms_norm.h for the formulas.

template <class E, bool round>
TT_INLINE Vec<Accum<E>> normalized(Vec<Accum<E>> x, Accum<E> inverse) {
  return round ? rounded<E>(x * inverse) : x * inverse;
}

template <class E, bool round>
TT_INLINE void rms_norm_rows(const E* x, E* residual, const E* weight, const RmsNormForm& form, int64_t num_rows,
                             int64_t width, E* y, Accum<E>* inverse_rms) {
  using A = Accum<E>;
  const A offset = form.weight_plus_one ? 1 : 0;
  for (int64_t row = 0; row < num_rows; ++row, x += width, y += width) {
    if (residual) {
      E* sum = residual + row * width;
      over_row<A>(width, [&](int64_t i, auto part)
                             TT_INLINE_LAMBDA { store(sum + i, load(sum + i, part) + load(x + i, part), part); });
    }
    const E* normed = residual ? residual + row * width : x;
    Vec<A> squares = {};
    over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const Vec<A> v = load(normed + i, part);
      squares += v * v;
    });
    const A mean = sum_lanes<A>(squares) / static_cast<A>(width);
    const A inverse = A(1) / square_root(mean + static_cast<A>(form.epsilon));
    over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      store(y + i, normalized<E, round>(load(normed + i, part), inverse) * (load(weight + i, part) + offset), part);
    });
    if (inverse_rms) inverse_rms[row] = inverse;
  }
}

template <class E>
void rms_norm_forward(const E* x, E* residual, const E* weight, const RmsNormForm& form, int64_t num_rows,
                      int64_t width, E* y, Accum<E>* inverse_rms) {
  form.round_before_weight ? rms_norm_rows<E, true>(x, residual, weight, form, num_rows, width, y, inverse_rms)
                           : rms_norm_rows<E, false>(x, residual, weight, form, num_rows, width, y, inverse_rms);
}

template <class E, bool round>
TT_INLINE void rms_norm_gradient_rows(const E* x, const E* weight, const RmsNormForm& form, const Accum<E>* inverse_rms,
                                      const E* dy, const E* dresidual, int64_t num_rows, int64_t width, E* dx,
                                      Accum<E>* dweight) {
  using A = Accum<E>;
  const A offset = form.weight_plus_one ? 1 : 0;
  for (int64_t row = 0; row < num_rows; ++row, x += width, dy += width) {
    const A inverse = inverse_rms[row];
    if (dweight) {
      over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
        const Vec<A> n = normalized<E, round>(load(x + i, part), inverse);
        store(dweight + i, load(dweight + i, part) + load(dy + i, part) * n, part);
      });
    }
    if (!dx) continue;
    Vec<A> products = {};
    over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      products += load(dy + i, part) * (load(weight + i, part) + offset) * (load(x + i, part) * inverse);
    });
    const A mean = sum_lanes<A>(products) / static_cast<A>(width);
    over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const Vec<A> h = load(dy + i, part) * (load(weight + i, part) + offset);
      const Vec<A> own = (h - load(x + i, part) * inverse * mean) * inverse;
      store(dx + i, dresidual ? own + load(dresidual + row * width + i, part) : own, part);
    });
    dx += width;
  }
}

template <class E>
void rms_norm_backward(const E* x, const E* weight, const RmsNormForm& form, const Accum<E>* inverse_rms, const E* dy,
                       const E* dresidual, int64_t num_rows, int64_t width, E* dx, Accum<E>* dweight) {
  form.round_before_weight
      ? rms_norm_gradient_rows<E, true>(x, weight, form, inverse_rms, dy, dresidual, num_rows, width, dx, dweight)
      : rms_norm_gradient_rows<E, false>(x, weight, form, inverse_rms, dy, dresidual, num_rows, width, dx, dweight);
}

template <class E>
void sum_blocks(const Accum<E>* blocks, int64_t num_blocks, int64_t width, E* out) {
  using A = Accum<E>;
  over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
    Vec<A> sum = {};
    for (int64_t b = 0; b < num_blocks; ++b) sum += load(blocks + b * width + i, part);
    store(out + i, sum, part);
  });
}
