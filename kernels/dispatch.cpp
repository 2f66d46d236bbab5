// The public kernels: each call goes to the table of the instruction set in use.
#include <type_traits>

#include "kernels/impl/table.h"
#include "kernels/instruction_set.h"

namespace thinktune::kernels {
namespace {

const Tables& tables() {
#if defined(__x86_64__)
  switch (instruction_set()) {
    case InstructionSet::Amx:
    case InstructionSet::Avx512Bf16:
    case InstructionSet::Avx512:
      return avx512::kTables;
    case InstructionSet::Avx2:
      return avx2::kTables;
    case InstructionSet::Baseline:
      break;
  }
#endif
  return baseline::kTables;
}

template <class E>
const Table<E>& table() {
  if constexpr (std::is_same_v<E, float>)
    return tables().f32;
  else if constexpr (std::is_same_v<E, Bf16>)
    return tables().bf16;
  else
    return tables().f64;
}

}  // namespace

template <class E>
void rms_norm_forward(const E* x, E* residual, const E* weight, const RmsNormForm& form, int64_t num_rows,
                      int64_t width, E* y, Accum<E>* inverse_rms) {
  table<E>().rms_norm_forward(x, residual, weight, form, num_rows, width, y, inverse_rms);
}

template <class E>
void rms_norm_backward(const E* x, const E* weight, const RmsNormForm& form, const Accum<E>* inverse_rms, const E* dy,
                       const E* dresidual, int64_t num_rows, int64_t width, E* dx, Accum<E>* dweight) {
  table<E>().rms_norm_backward(x, weight, form, inverse_rms, dy, dresidual, num_rows, width, dx, dweight);
}

template <class E>
void sum_blocks(const Accum<E>* blocks, int64_t num_blocks, int64_t width, E* out) {
  table<E>().sum_blocks(blocks, num_blocks, width, out);
}

template <class E>
void rope(const E* x, const Accum<E>* cos, const Accum<E>* sin, const RopeShape& shape, bool forward, E* y) {
  table<E>().rope(x, cos, sin, shape, forward, y);
}

template <class E>
void glu_forward(const E* gate_up, Activation activation, int64_t num_rows, int64_t width, E* out) {
  table<E>().glu_forward(gate_up, activation, num_rows, width, out);
}

template <class E>
void glu_backward(const E* gate_up, const E* dout, Activation activation, int64_t num_rows, int64_t width,
                  E* dgate_up) {
  table<E>().glu_backward(gate_up, dout, activation, num_rows, width, dgate_up);
}

template <class E>
void decode_attention(const E* q, const KvRows<E>* segments, int64_t num_segments, const DecodeShape& shape,
                      const SoftmaxStart<Accum<E>>& start, Accum<E>* scratch, E* out, const KvRows<E>& following) {
  table<E>().decode_attention(q, segments, num_segments, shape, start, scratch, out, following);
}

template <class E>
void packed_attention_forward(const E* q, const E* k, const E* v, const PackedShape& shape, PackedPart part,
                              Accum<E>* scratch, E* out, Accum<E>* lse) {
  table<E>().packed_attention_forward(q, k, v, shape, part, scratch, out, lse);
}

template <class E>
void packed_attention_backward(const E* q, const E* k, const E* v, const E* out, const Accum<E>* lse, const E* dout,
                               const PackedShape& shape, PackedPart part, Accum<E>* scratch, E* dq, E* dk, E* dv,
                               const PromptSums<E>& prompt) {
  table<E>().packed_attention_backward(q, k, v, out, lse, dout, shape, part, scratch, dq, dk, dv, prompt);
}

template <class E>
RowMax<Accum<E>> row_max(const E* logits, int64_t vocabulary) {
  return table<E>().row_max(logits, vocabulary);
}

template <class E>
void row_group_max(const E* logits, int64_t vocabulary, int64_t num_groups, Accum<E>* out) {
  table<E>().row_group_max(logits, vocabulary, num_groups, out);
}

template <class E>
ExpSums row_exp_sums(const E* logits, int64_t vocabulary, Accum<E> max, double temperature, Accum<E> threshold) {
  return table<E>().row_exp_sums(logits, vocabulary, max, temperature, threshold);
}

template <class E>
void row_gradient(E* logits, int64_t vocabulary, const RowGradient& row) {
  table<E>().row_gradient(logits, vocabulary, row);
}

template <class E>
void exp_row(const E* x, int64_t n, E* out) {
  table<E>().exp_row(x, n, out);
}

template <class E>
void round_rows(const Accum<E>* sums, int64_t sums_stride, const E* bias, int64_t num_rows, int64_t width,
                int64_t out_stride, E* out) {
  table<E>().round_rows(sums, sums_stride, bias, num_rows, width, out_stride, out);
}

template <class E>
void add_rows(const E* x, int64_t x_stride, int64_t num_rows, int64_t width, int64_t sums_stride, Accum<E>* sums) {
  table<E>().add_rows(x, x_stride, num_rows, width, sums_stride, sums);
}

void pack_along_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, Bf16* out) {
  tables().tiles.pack_along_rows(rows, stride, num_rows, width, out);
}

void pack_over_rows(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, int64_t panel_step, Bf16* out) {
  tables().tiles.pack_over_rows(rows, stride, num_rows, width, panel_step, out);
}

void pack_columns(const Bf16* rows, int64_t stride, int64_t num_rows, int64_t width, int64_t tile_step, Bf16* out) {
  tables().tiles.pack_columns(rows, stride, num_rows, width, tile_step, out);
}

void multiply_panel(const TileRows& rows, int64_t num_rows, int64_t depth, const Bf16* panel, bool adds, float* out,
                    int64_t out_stride) {
  tables().tiles.multiply_panel(rows, num_rows, depth, panel, adds, out, out_stride);
}

void softmax_block(float* scores, const SoftmaxBlock& block, float* max, float* sum, float* factor, Bf16* weights) {
  tables().tiles.softmax_block(scores, block, max, sum, factor, weights);
}

void scale_rows(float* rows, int64_t stride, int64_t num_rows, int64_t width, const float* factor) {
  tables().tiles.scale_rows(rows, stride, num_rows, width, factor);
}

void packed_softmax_forward(const float* scores_MS, const PackedScores& shape, const SeenColumns* seen_T,
                            Bf16* weights_MS, float* inverse_sum_M, float* lse) {
  tables().tiles.packed_softmax_forward(scores_MS, shape, seen_T, weights_MS, inverse_sum_M, lse);
}

void packed_softmax_backward(const float* scores_MS, const float* dweights_MS, const PackedScores& shape,
                             const SeenColumns* seen_T, const float* lse, const float* dot_M, Bf16* weights_MS,
                             Bf16* dscores_MS) {
  tables().tiles.packed_softmax_backward(scores_MS, dweights_MS, shape, seen_T, lse, dot_M, weights_MS, dscores_MS);
}

void row_dots(const Bf16* a, const Bf16* b, int64_t num_rows, int64_t width, float* dot_M) {
  tables().tiles.row_dots(a, b, num_rows, width, dot_M);
}

#define TT_INSTANTIATE(E)                                                                                             \
  template void rms_norm_forward(const E*, E*, const E*, const RmsNormForm&, int64_t, int64_t, E*, Accum<E>*);        \
  template void rms_norm_backward(const E*, const E*, const RmsNormForm&, const Accum<E>*, const E*, const E*,        \
                                  int64_t, int64_t, E*, Accum<E>*);                                                   \
  template void sum_blocks<E>(const Accum<E>*, int64_t, int64_t, E*);                                                 \
  template void rope(const E*, const Accum<E>*, const Accum<E>*, const RopeShape&, bool, E*);                         \
  template void glu_forward(const E*, Activation, int64_t, int64_t, E*);                                              \
  template void glu_backward(const E*, const E*, Activation, int64_t, int64_t, E*);                                   \
  template void decode_attention(const E*, const KvRows<E>*, int64_t, const DecodeShape&,                             \
                                 const SoftmaxStart<Accum<E>>&, Accum<E>*, E*, const KvRows<E>&);                     \
  template void packed_attention_forward(const E*, const E*, const E*, const PackedShape&, PackedPart, Accum<E>*, E*, \
                                         Accum<E>*);                                                                  \
  template void packed_attention_backward(const E*, const E*, const E*, const E*, const Accum<E>*, const E*,          \
                                          const PackedShape&, PackedPart, Accum<E>*, E*, E*, E*,                      \
                                          const PromptSums<E>&);                                                      \
  template RowMax<Accum<E>> row_max(const E*, int64_t);                                                               \
  template void row_group_max(const E*, int64_t, int64_t, Accum<E>*);                                                 \
  template ExpSums row_exp_sums(const E*, int64_t, Accum<E>, double, Accum<E>);                                       \
  template void row_gradient(E*, int64_t, const RowGradient&);                                                        \
  template void exp_row(const E*, int64_t, E*);                                                                       \
  template void round_rows(const Accum<E>*, int64_t, const E*, int64_t, int64_t, int64_t, E*);                        \
  template void add_rows(const E*, int64_t, int64_t, int64_t, int64_t, Accum<E>*);
TT_INSTANTIATE(float)
TT_INSTANTIATE(Bf16)
TT_INSTANTIATE(double)
#undef TT_INSTANTIATE

}  // namespace thinktune::kernels
