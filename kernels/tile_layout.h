// Rows of bf16 in the order in which matrix tiles read them.
//
// The right side of a product comes in panels of kTilePanel columns. A panel holds, for each kTileDepth numbers that
// are summed over, two tiles one behind the other, of 16 columns each; a tile is [16 pairs][16 columns][2], 1 KiB. So a
// panel is read from end to end. What is missing to whole tiles is 0.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

inline constexpr int64_t kTilePanel = 32;  // columns of a panel
inline constexpr int64_t kTileDepth = 32;  // numbers summed over by one instruction
inline constexpr int64_t kTileBlock = 32;  // rows of a block: two tiles

// n up to whole tiles.
constexpr int64_t tile_depth(int64_t n) { return (n + kTileDepth - 1) / kTileDepth * kTileDepth; }
constexpr int64_t num_panels(int64_t columns) { return (columns + kTilePanel - 1) / kTilePanel; }

// A panel whose columns are `num_rows` <= kTilePanel rows, for products that sum along the rows: tile_depth(width) ·
// kTilePanel elements.
void pack_along_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out);

// num_panels(width) panels, `panel_step` elements from one to the next, whose columns are the rows' columns, for
// products that sum over the rows: tile_depth(num_rows) · kTilePanel elements each. Any kTileDepth rows can be packed
// by themselves, to where their tiles begin.
void pack_over_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, int64_t panel_step, Bf16* out);

// The left side of a product whose rows are the given rows' columns: tiles [16 columns][kTileDepth rows], those of all
// rows one behind the other, `tile_step` elements from 16 columns to the next. Any kTileDepth rows can be packed by
// themselves.
void pack_columns(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, int64_t tile_step, Bf16* out);

}  // namespace thinktune::kernels
