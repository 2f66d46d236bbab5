// All kernels, once for each instruction set: included inside its namespace.
#include "kernels/impl/simd.inl"
//
#include "kernels/impl/decode_attention.inl"
#include "kernels/impl/elementwise.inl"
#include "kernels/impl/multiply.inl"
#include "kernels/impl/packed_attention.inl"
#include "kernels/impl/packed_softmax.inl"
#include "kernels/impl/rms_norm.inl"
#include "kernels/impl/softmax_row.inl"
#include "kernels/impl/tiles.inl"

template <class E>
constexpr Table<E> make_table() {
  return {.rms_norm_forward = &rms_norm_forward<E>,
          .rms_norm_backward = &rms_norm_backward<E>,
          .sum_blocks = &sum_blocks<E>,
          .rope = &rope<E>,
          .glu_forward = &glu_forward<E>,
          .glu_backward = &glu_backward<E>,
          .decode_attention = &decode_attention<E>,
          .packed_attention_forward = &packed_attention_forward<E>,
          .packed_attention_backward = &packed_attention_backward<E>,
          .row_max = &row_max<E>,
          .row_group_max = &row_group_max<E>,
          .row_exp_sums = &row_exp_sums<E>,
          .row_gradient = &row_gradient<E>,
          .exp_row = &exp_row<E>,
          .round_rows = &round_rows<E>,
          .add_rows = &add_rows<E>};
}

extern const Tables kTables;
const Tables kTables = {make_table<float>(),
                        make_table<Bf16>(),
                        make_table<double>(),
                        {.pack_along_rows = &pack_along_rows,
                         .pack_over_rows = &pack_over_rows,
                         .pack_columns = &pack_columns,
                         .multiply_panel = &multiply_panel,
                         .softmax_block = &softmax_block,
                         .scale_rows = &scale_rows,
                         .packed_softmax_forward = &packed_softmax_forward,
                         .packed_softmax_backward = &packed_softmax_backward,
                         .row_dots = &row_dots}};
