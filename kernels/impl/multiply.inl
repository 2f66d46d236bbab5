// out (+)= a · b for small matrices in the cache: R rows of C vectors of the result live in registers.

inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = TT_VECTOR_BYTES == 64 ? 4 : 2;  // 6 · 4 sums of 32 registers; 6 · 2 of 16

// Row i, step k of a: a[i · row + k · step].
template <class A>
struct Left {
  const A* a;
  int64_t row;
  int64_t step;
};

template <class A, int R, int C>
[[gnu::noinline]] void multiply_tile(int64_t steps, Left<A> left, const A* b, int64_t b_step, A* out, int64_t out_row,
                                     bool adds) {
  constexpr int64_t lanes = kLanes<A>;
  Vec<A> sum[R][C] = {};
  if (adds)
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < C; ++c) sum[r][c] = load(out + r * out_row + c * lanes, Whole{});
  for (int64_t k = 0; k < steps; ++k) {
    Vec<A> row[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) row[c] = load(b + k * b_step + c * lanes, Whole{});
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const A factor = left.a[r * left.row + k * left.step];
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sum[r][c] += row[c] * factor;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) store(out + r * out_row + c * lanes, sum[r][c], Whole{});
}

template <class A, int C>
TT_INLINE void multiply_rows(int64_t rows, int64_t steps, Left<A> left, const A* b, int64_t b_step, A* out,
                             int64_t out_row, bool adds) {
  for (; rows >= kTileRows; rows -= kTileRows) {
    multiply_tile<A, kTileRows, C>(steps, left, b, b_step, out, out_row, adds);
    left.a += kTileRows * left.row;
    out += kTileRows * out_row;
  }
  switch (rows) {
    case 1:
      return multiply_tile<A, 1, C>(steps, left, b, b_step, out, out_row, adds);
    case 2:
      return multiply_tile<A, 2, C>(steps, left, b, b_step, out, out_row, adds);
    case 3:
      return multiply_tile<A, 3, C>(steps, left, b, b_step, out, out_row, adds);
    case 4:
      return multiply_tile<A, 4, C>(steps, left, b, b_step, out, out_row, adds);
    case 5:
      return multiply_tile<A, 5, C>(steps, left, b, b_step, out, out_row, adds);
    default:
      return;
  }
}

// out [rows, width] (+)= left [rows, steps] · b [steps, width]; width is a multiple of a vector. Each element is one
// chain of sums in order of the steps, whatever the tiles.
template <class A>
void multiply(int64_t rows, int64_t width, int64_t steps, Left<A> left, const A* b, int64_t b_step, A* out,
              int64_t out_row, bool adds) {
  constexpr int64_t lanes = kLanes<A>;
  int64_t w = 0;
  for (; w + kTileVectors * lanes <= width; w += kTileVectors * lanes)
    multiply_rows<A, kTileVectors>(rows, steps, left, b + w, b_step, out + w, out_row, adds);
  for (; w < width; w += lanes) multiply_rows<A, 1>(rows, steps, left, b + w, b_step, out + w, out_row, adds);
}
