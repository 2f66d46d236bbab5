#include "kernels/matrix_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <initializer_list>

#define TT_TILES __attribute__((target("avx512f,prfchw,amx-tile,amx-bf16")))
#define TT_PAIRS __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prfchw,avx512bf16")))

namespace thinktune::kernels {
namespace {

// The processor's tiles: sums of (rows 0-15, 16-31) × (columns 0-15, 16-31) in 0 to 3, left sides in 4 and 5, right
// sides in 6 and 7.
struct alignas(64) TileSettings {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t num_rows[16] = {};
};

constexpr int kRowsAStep = 4;  // written next: so that eight steps ask for a block

template <bool two, bool asks>
TT_TILES void multiply_tiles(const TileRows& rows, int64_t depth, const Bf16* panel, const Ahead& ahead, bool adds,
                             float* out, int64_t out_stride) {
  const int64_t out_bytes = out_stride * 4, row_bytes = rows.row_step * 2;
  float* below = out + 16 * out_stride;
  if (adds) {
    _tile_loadd(0, out, out_bytes);
    _tile_loadd(1, out + 16, out_bytes);
    if (two) {
      _tile_loadd(2, below, out_bytes);
      _tile_loadd(3, below + 16, out_bytes);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if (two) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  const Bf16* left = rows.at;
  constexpr int64_t kTile = 16 * kTileDepth;
  const char* next = static_cast<const char*>(ahead.lines);
  const char *row = static_cast<const char*>(ahead.rows), *end_row = row + ahead.num_rows * ahead.row_bytes;
  for (int64_t i = 0; i < depth; i += kTileDepth, left += rows.depth_step, panel += 2 * kTile) {
    _tile_loadd(6, panel, 64);
    _tile_loadd(7, panel + kTile, 64);
    _tile_loadd(4, left, row_bytes);
    if (two) _tile_loadd(5, left + rows.tile_step, row_bytes);
    if (asks) {
      for (const char* end = next + 64 * ahead.lines_a_step; next < end; next += 64) _mm_prefetch(next, _MM_HINT_T0);
      for (int r = 0; r < kRowsAStep && row < end_row; ++r, row += ahead.row_bytes)
        for (int64_t line = 0; line < ahead.lines_a_row; ++line) __builtin_prefetch(row + 64 * line, /*write*/ 1);
    }
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (two) {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, out_bytes);
  _tile_stored(1, out + 16, out_bytes);
  if (two) {
    _tile_stored(2, below, out_bytes);
    _tile_stored(3, below + 16, out_bytes);
  }
}

TT_TILES void load(const TileSettings& settings) {
  __asm__ volatile("" : : "r"(&settings) : "memory");  // GCC 12 takes the intrinsic to read eight bytes
  _tile_loadconfig(&settings);
}
TT_TILES void release() { _tile_release(); }

void set_tiles(int64_t num_rows) {
  TileSettings settings;
  const auto set = [&](int tile, int64_t n) {
    settings.row_bytes[tile] = n > 0 ? 64 : 0;
    settings.num_rows[tile] = static_cast<uint8_t>(n);
  };
  const int64_t first = num_rows < 16 ? num_rows : 16, second = num_rows - first;
  for (const int tile : {0, 1, 4}) set(tile, first);
  for (const int tile : {2, 3, 5}) set(tile, second);
  for (const int tile : {6, 7}) set(tile, 16);
  load(settings);
}

void multiply_by_tiles(const TileRows& rows, int64_t num_rows, int64_t depth, const Bf16* panel, const Ahead& ahead,
                       bool adds, float* out, int64_t out_stride) {
  const bool two = num_rows > 16, asks = ahead.lines_a_step > 0 || ahead.num_rows > 0;
  const auto multiply = two ? (asks ? multiply_tiles<true, true> : multiply_tiles<true, false>)
                            : (asks ? multiply_tiles<false, true> : multiply_tiles<false, false>);
  multiply(rows, depth, panel, ahead, adds, out, out_stride);
}

// R rows of one tile, whose sums stay in registers: a pair of each, in all lanes, times the pairs of a panel's columns.
template <int R>
TT_PAIRS void multiply_pairs(const Bf16* left, const TileRows& rows, int64_t depth, const Bf16* panel,
                             const Ahead& ahead, bool adds, float* out, int64_t out_stride) {
  constexpr int64_t kTile = 16 * kTileDepth;
  __m512 sum[R][2];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 2; ++c) sum[r][c] = adds ? _mm512_loadu_ps(out + r * out_stride + c * 16) : _mm512_setzero_ps();
  const char* next = static_cast<const char*>(ahead.lines);
  const char *row = static_cast<const char*>(ahead.rows), *end_row = row + ahead.num_rows * ahead.row_bytes;
  for (int64_t i = 0; i < depth; i += kTileDepth, left += rows.depth_step, panel += kTile) {
    for (const char* end = next + 64 * ahead.lines_a_step; next < end; next += 64) _mm_prefetch(next, _MM_HINT_T0);
    for (int r = 0; r < kRowsAStep && row < end_row; ++r, row += ahead.row_bytes)
      for (int64_t line = 0; line < ahead.lines_a_row; ++line) __builtin_prefetch(row + 64 * line, /*write*/ 1);
    for (int pair = 0; pair < 16; ++pair, panel += 32) {
      const __m512bh b0 = (__m512bh)_mm512_loadu_si512(panel), b1 = (__m512bh)_mm512_loadu_si512(panel + kTile);
#pragma GCC unroll 10
      for (int r = 0; r < R; ++r) {
        int two;
        __builtin_memcpy(&two, left + r * rows.row_step + 2 * pair, sizeof two);
        const __m512bh a = (__m512bh)_mm512_set1_epi32(two);
        sum[r][0] = _mm512_dpbf16_ps(sum[r][0], a, b0);
        sum[r][1] = _mm512_dpbf16_ps(sum[r][1], a, b1);
      }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 2; ++c) _mm512_storeu_ps(out + r * out_stride + c * 16, sum[r][c]);
}

// Rows in groups of equally many, up to ten: 20 sums of 32 registers. An instruction's result takes six cycles and two
// begin in each, so groups of less than six rows wait. Each group asks for its share of what comes next.
void multiply_by_pairs(const TileRows& rows, int64_t num_rows, int64_t depth, const Bf16* panel, const Ahead& ahead,
                       bool adds, float* out, int64_t out_stride) {
  constexpr int64_t kMost = 10;
  using Multiply = decltype(&multiply_pairs<1>);
  constexpr Multiply kMultiply[kMost] = {multiply_pairs<1>, multiply_pairs<2>, multiply_pairs<3>, multiply_pairs<4>,
                                         multiply_pairs<5>, multiply_pairs<6>, multiply_pairs<7>, multiply_pairs<8>,
                                         multiply_pairs<9>, multiply_pairs<10>};
  const int64_t alike = rows.tile_step == 16 * rows.row_step ? num_rows : 16;  // rows at one distance from each other
  const auto groups_of = [](int64_t n) { return (n + kMost - 1) / kMost; };
  Ahead share = ahead;
  const int64_t num_groups = num_rows / alike * groups_of(alike) + groups_of(num_rows % alike);
  share.lines_a_step = (ahead.lines_a_step + num_groups - 1) / num_groups;
  const Bf16* left = rows.at;
  for (int64_t first = 0; first < num_rows; first += alike, left += rows.tile_step) {
    const int64_t end = num_rows - first < alike ? num_rows - first : alike, groups = groups_of(end);
    const int64_t group = (end + groups - 1) / groups;
    for (int64_t r = 0; r < end; r += group) {
      const int64_t n = end - r < group ? end - r : group;
      kMultiply[n - 1](left + r * rows.row_step, rows, depth, panel, share, adds, out + (first + r) * out_stride,
                       out_stride);
      share.lines = static_cast<const char*>(share.lines) + depth / kTileDepth * share.lines_a_step * 64;
      share.num_rows = 0;
    }
  }
}

}  // namespace

MatrixTiles::MatrixTiles(int64_t num_rows) : num_rows_(num_rows), set_(instruction_set()) {
  if (set_ == InstructionSet::Amx) set_tiles(num_rows);
}

MatrixTiles::~MatrixTiles() {
  if (set_ == InstructionSet::Amx) release();
}

void MatrixTiles::multiply(const TileRows& rows, int64_t depth, const Bf16* panel, const Ahead& ahead, bool adds,
                           float* out, int64_t out_stride) const {
  if (set_ == InstructionSet::Amx)
    multiply_by_tiles(rows, num_rows_, depth, panel, ahead, adds, out, out_stride);
  else if (set_ == InstructionSet::Avx512Bf16)
    multiply_by_pairs(rows, num_rows_, depth, panel, ahead, adds, out, out_stride);
  else
    multiply_panel(rows, num_rows_, depth, panel, adds, out, out_stride);
}

}  // namespace thinktune::kernels

#else

namespace thinktune::kernels {

MatrixTiles::MatrixTiles(int64_t num_rows) : num_rows_(num_rows), set_(instruction_set()) {}
MatrixTiles::~MatrixTiles() = default;
void MatrixTiles::multiply(const TileRows& rows, int64_t depth, const Bf16* panel, const Ahead&, bool adds, float* out,
                           int64_t out_stride) const {
  multiply_panel(rows, num_rows_, depth, panel, adds, out, out_stride);
}

}  // namespace thinktune::kernels

#endif
