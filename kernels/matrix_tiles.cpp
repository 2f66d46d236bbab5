#include "kernels/matrix_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <initializer_list>

#define TT_TILES __attribute__((target("avx512f,prfchw,amx-tile,amx-bf16")))

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

bool ask_for_tiles() {
  // Intel 64 manual, volume 1, 18: leaf 7 tells of tiles (EDX bit 24) and of their bf16 products (bit 22).
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if ((d >> 24 & 1) == 0 || (d >> 22 & 1) == 0 || !__builtin_cpu_supports("avx512bw")) return false;
  constexpr long kAskForState = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA of Linux
  return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
}

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

}  // namespace

bool has_matrix_tiles() {
  static const bool has = ask_for_tiles();
  return has;
}

MatrixTiles::MatrixTiles(int64_t num_rows) : num_rows_(num_rows) {
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

MatrixTiles::~MatrixTiles() { release(); }

void MatrixTiles::multiply(const TileRows& rows, int64_t depth, const Bf16* panel, const Ahead& ahead, bool adds,
                           float* out, int64_t out_stride) const {
  const bool two = num_rows_ > 16, asks = ahead.lines_a_step > 0 || ahead.num_rows > 0;
  const auto multiply = two ? (asks ? multiply_tiles<true, true> : multiply_tiles<true, false>)
                            : (asks ? multiply_tiles<false, true> : multiply_tiles<false, false>);
  multiply(rows, depth, panel, ahead, adds, out, out_stride);
}

}  // namespace thinktune::kernels

#else

#include "thinktune/core/error.h"

namespace thinktune::kernels {

bool has_matrix_tiles() { return false; }
MatrixTiles::MatrixTiles(int64_t num_rows) : num_rows_(num_rows) {
  throw core::internal_error("this processor has no matrix tiles");
}
MatrixTiles::~MatrixTiles() = default;
void MatrixTiles::multiply(const TileRows&, int64_t, const Bf16*, const Ahead&, bool, float*, int64_t) const {}

}  // namespace thinktune::kernels

#endif
