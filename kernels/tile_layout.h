// Rows of bf16 as the right side of a product by matrix tiles: pairs of what is summed over lie together.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

inline constexpr int64_t kTilePanel = 64;  // columns of a panel

// out[i][c] = the pair rows[c][2i], rows[c][2i + 1], [width / 2, kTilePanel] pairs: for products that sum along the
// rows. Columns from num_rows on are 0; num_rows <= kTilePanel, width even.
void pack_along_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out);

// out[i][c] = the pair rows[2i][c], rows[2i + 1][c], [⌈num_rows / 2⌉, width] pairs: for products that sum over rows. Of
// an odd number of rows the last one's partner is 0.
void pack_over_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out);

}  // namespace thinktune::kernels
