// Products of bf16 matrices, a block at a time, summed in f32: by the processor's matrix tiles (Intel AMX), by its
// products of pairs of bf16 (AVX-512), or by products of floats.
#pragma once

#include <cstdint>

#include "kernels/element.h"
#include "kernels/instruction_set.h"
#include "kernels/tile_layout.h"

namespace thinktune::kernels {

// The left side of a product, in tiles of 16 rows by kTileDepth numbers.
struct TileRows {
  const Bf16* at = nullptr;
  int64_t row_step = 0;    // elements from a row of a tile to the next
  int64_t depth_step = 0;  // from a tile to the next along what is summed over
  int64_t tile_step = 0;   // from 16 rows to the next 16
};

// Rows as they lie in memory, `stride` elements from one to the next.
inline TileRows plain_rows(const Bf16* rows, int64_t stride) { return {rows, stride, kTileDepth, 16 * stride}; }

// What a product asks for on its way, so that it is in a cache when its turn comes. Memory gives a line while the tiles
// multiply, but not many at once: to ask evenly is what makes it fast. A step: kTileDepth numbers summed over.
struct Ahead {
  const void* lines = nullptr;  // of 64 bytes, one behind the other, to be read
  int64_t lines_a_step = 0;
  const void* rows = nullptr;           // to be written
  int64_t num_rows = 0, row_bytes = 0;  // from one to the next
  int64_t lines_a_row = 0;

  // The panel itself, 2 KiB ahead: one that comes from memory, with another behind it.
  static Ahead streamed(const Bf16* panel) { return {.lines = panel + 32 * kTileDepth, .lines_a_step = 32}; }
};

// What the calling thread multiplies blocks of `num_rows` rows (1 to kTileBlock) with, until the end of its life. One
// for a thread at a time: the processor's tiles are set for it, and libraries set them for themselves at each call.
class MatrixTiles {
 public:
  explicit MatrixTiles(int64_t num_rows);
  ~MatrixTiles();
  MatrixTiles(const MatrixTiles&) = delete;
  MatrixTiles& operator=(const MatrixTiles&) = delete;

  // out[r · out_stride + c] = (adds ? what stood there : 0) + Σ_i rows[r][i] · panel[i][c] for c < kTilePanel, i <
  // depth, a multiple of kTileDepth. The panel is in the order of kernels/tile_layout.h. Sums run over i in order,
  // two at a time, whatever num_rows; they depend on the instruction set. By instructions for bf16 denormal numbers
  // count as 0.
  void multiply(const TileRows& rows, int64_t depth, const Bf16* panel, const Ahead& ahead, bool adds, float* out,
                int64_t out_stride) const;

 private:
  int64_t num_rows_;
  InstructionSet set_;
};

// The same by products of floats, which every processor has.
void multiply_panel(const TileRows& rows, int64_t num_rows, int64_t depth, const Bf16* panel, bool adds, float* out,
                    int64_t out_stride);

}  // namespace thinktune::kernels
