// Products of bf16 matrices, a block at a time (kernels/matrix_tiles.h). Every sum runs over all inputs in one order,
// whatever the number of rows and threads, and nothing is kept for a size once met; oneDNN's products promise neither.
// And a weight is read as it lies in memory.
//
// Letters: T rows, D inputs, F outputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace thinktune::ops {

struct TiledWeight {
  int64_t num_inputs = 0;
  int64_t num_outputs = 0;
  at::Tensor panels;  // of outputs, in the order of kernels/tile_layout.h
};

// Whether tile_weight can lay it out: bf16, on the CPU, an even number of inputs.
bool has_tile_products(const at::Tensor& weight_FD);

// A copy in panels, as a tensor [F, D] that nothing but tile_product can read.
at::Tensor tile_weight(const at::Tensor& weight_FD);

// What tile_weight made; null for any other tensor.
const TiledWeight* tiled(const at::Tensor& weight);

// out = x·Wᵀ + bias, summed in f32, rounded once. out_TF: bf16, contiguous. bias_F may be undefined.
void tile_product(const at::Tensor& out_TF, const at::Tensor& x_TD, const TiledWeight& weight,
                  const at::Tensor& bias_F);

// Whether tile_matmul can multiply these: matrices of bf16 on the CPU, each with rows or columns whose elements follow
// each other.
bool has_tile_products(const at::Tensor& a_MK, const at::Tensor& b_KN);

// out = a·b + bias, rounded once, in bf16; or in f32: out = a·b, or (adds) out += a·b, without a bias. out is
// contiguous, bias_N may be undefined. Each sum runs over K in order.
void tile_matmul(const at::Tensor& out_MN, const at::Tensor& a_MK, const at::Tensor& b_KN, const at::Tensor& bias_N,
                 bool adds);

}  // namespace thinktune::ops
