// See kernels/rope.h, kernels/glu.h, kernels/round_rows.h for the formulas.

template <class E>
void rope(const E* x, const Accum<E>* cos, const Accum<E>* sin, const RopeShape& shape, bool forward, E* y) {
  using A = Accum<E>;
  const int64_t half = shape.head_size / 2;
  const A sign = forward ? A(1) : A(-1);
  for (int64_t t = 0; t < shape.num_tokens; ++t, cos += half, sin += half) {
    for (int64_t n = 0; n < shape.num_heads; ++n, y += shape.head_size) {
      const E* head = x + t * shape.token_stride + n * shape.head_stride;
      over_row<A>(half, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
        const Vec<A> a = load(head + i, part), b = load(head + half + i, part);
        const Vec<A> c = load(cos + i, part), s = load(sin + i, part) * sign;
        store(y + i, a * c - b * s, part);
        store(y + half + i, b * c + a * s, part);
      });
    }
  }
}

// z(g) of an activation, and its derivative (kernels/glu.h).
template <class A, Activation activation>
TT_INLINE Vec<A> glu_exponent(Vec<A> g) {
  if constexpr (activation == Activation::Silu) return g;
  return A(kTwiceRootOfTwoByPi) * (g + A(kGeluCubic) * g * g * g);
}

template <class A, Activation activation>
TT_INLINE Vec<A> glu_slope(Vec<A> g) {
  if constexpr (activation == Activation::Silu) return broadcast(A(1));
  return A(kTwiceRootOfTwoByPi) * (A(1) + A(3 * kGeluCubic) * g * g);
}

template <class E, Activation activation>
TT_INLINE void glu_rows(const E* gate_up, int64_t num_rows, int64_t width, E* out) {
  using A = Accum<E>;
  for (int64_t row = 0; row < num_rows; ++row, gate_up += 2 * width, out += width) {
    over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const Vec<A> gate = load(gate_up + i, part), up = load(gate_up + width + i, part);
      store(out + i, gate / (A(1) + exp_lanes(-glu_exponent<A, activation>(gate))) * up, part);
    });
  }
}

template <class E>
void glu_forward(const E* gate_up, Activation activation, int64_t num_rows, int64_t width, E* out) {
  activation == Activation::Silu ? glu_rows<E, Activation::Silu>(gate_up, num_rows, width, out)
                                 : glu_rows<E, Activation::GeluTanh>(gate_up, num_rows, width, out);
}

template <class E, Activation activation>
TT_INLINE void glu_gradient_rows(const E* gate_up, const E* dout, int64_t num_rows, int64_t width, E* dgate_up) {
  using A = Accum<E>;
  for (int64_t row = 0; row < num_rows; ++row, gate_up += 2 * width, dgate_up += 2 * width, dout += width) {
    over_row<A>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const Vec<A> gate = load(gate_up + i, part), up = load(gate_up + width + i, part), d = load(dout + i, part);
      const Vec<A> sigma = A(1) / (A(1) + exp_lanes(-glu_exponent<A, activation>(gate)));
      const Vec<A> slope = A(1) + gate * (A(1) - sigma) * glu_slope<A, activation>(gate);
      store(dgate_up + i, d * up * sigma * slope, part);
      store(dgate_up + width + i, d * gate * sigma, part);
    });
  }
}

template <class E>
void glu_backward(const E* gate_up, const E* dout, Activation activation, int64_t num_rows, int64_t width,
                  E* dgate_up) {
  activation == Activation::Silu ? glu_gradient_rows<E, Activation::Silu>(gate_up, dout, num_rows, width, dgate_up)
                                 : glu_gradient_rows<E, Activation::GeluTanh>(gate_up, dout, num_rows, width, dgate_up);
}

template <class E>
void exp_row(const E* x, int64_t n, E* out) {
  over_row<Accum<E>>(
      n, [&](int64_t i, auto part) TT_INLINE_LAMBDA { store(out + i, exp_lanes(load(x + i, part)), part); });
}

template <class E>
void round_rows(const Accum<E>* sums, int64_t sums_stride, const E* bias, int64_t num_rows, int64_t width,
                int64_t out_stride, E* out) {
  for (int64_t row = 0; row < num_rows; ++row, sums += sums_stride, out += out_stride) {
    over_row<Accum<E>>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      const Vec<Accum<E>> sum = load(sums + i, part);
      store(out + i, bias == nullptr ? sum : sum + load(bias + i, part), part);
    });
  }
}

template <class E>
void add_rows(const E* x, int64_t x_stride, int64_t num_rows, int64_t width, int64_t sums_stride, Accum<E>* sums) {
  for (int64_t row = 0; row < num_rows; ++row, x += x_stride, sums += sums_stride)
    over_row<Accum<E>>(width, [&](int64_t i, auto part) TT_INLINE_LAMBDA {
      store(sums + i, load(sums + i, part) + load(x + i, part), part);
    });
}
