// The kernels of one instruction set, as a table of functions.
#pragma once

#include "kernels/decode_attention.h"
#include "kernels/glu.h"
#include "kernels/matrix_tiles.h"
#include "kernels/packed_attention.h"
#include "kernels/packed_softmax.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/round_rows.h"
#include "kernels/softmax_block.h"
#include "kernels/softmax_row.h"
#include "kernels/tile_layout.h"

namespace thinktune::kernels {

template <class E>
struct Table {
  decltype(&kernels::rms_norm_forward<E>) rms_norm_forward;
  decltype(&kernels::rms_norm_backward<E>) rms_norm_backward;
  decltype(&kernels::sum_blocks<E>) sum_blocks;
  decltype(&kernels::rope<E>) rope;
  decltype(&kernels::glu_forward<E>) glu_forward;
  decltype(&kernels::glu_backward<E>) glu_backward;
  decltype(&kernels::decode_attention<E>) decode_attention;
  decltype(&kernels::packed_attention_forward<E>) packed_attention_forward;
  decltype(&kernels::packed_attention_backward<E>) packed_attention_backward;
  decltype(&kernels::row_max<E>) row_max;
  decltype(&kernels::row_group_max<E>) row_group_max;
  decltype(&kernels::row_exp_sums<E>) row_exp_sums;
  decltype(&kernels::row_gradient<E>) row_gradient;
  decltype(&kernels::exp_row<E>) exp_row;
  decltype(&kernels::round_rows<E>) round_rows;
  decltype(&kernels::add_rows<E>) add_rows;
};

// Of bf16 alone, for products by tiles.
struct TileTable {
  decltype(&kernels::pack_along_rows) pack_along_rows;
  decltype(&kernels::pack_over_rows) pack_over_rows;
  decltype(&kernels::pack_columns) pack_columns;
  decltype(&kernels::multiply_panel) multiply_panel;
  decltype(&kernels::softmax_block) softmax_block;
  decltype(&kernels::scale_rows) scale_rows;
  decltype(&kernels::packed_softmax_forward) packed_softmax_forward;
  decltype(&kernels::packed_softmax_backward) packed_softmax_backward;
  decltype(&kernels::row_dots) row_dots;
};

struct Tables {
  Table<float> f32;
  Table<Bf16> bf16;
  Table<double> f64;
  TileTable tiles;
};

namespace baseline {
extern const Tables kTables;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Tables kTables;
}
namespace avx512 {
extern const Tables kTables;
}
#endif

}  // namespace thinktune::kernels
