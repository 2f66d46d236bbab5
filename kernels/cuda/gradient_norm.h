// The gradients' global norm and their clip without a word to the host: n = √(Σ g²), g ← g · max_norm / n where n >
// max_norm (src/optim/gradient_norm.cpp). Squares are summed in double, in pieces of 16384 elements, then the pieces in
// an order that their number decides: the result does not depend on the device. Gradients need no alignment: they are
// parts of what ranks exchange.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace thinktune::kernels::cuda {

struct GradientNorm {
  double norm = 0;  // not finite if a gradient is not
  float scale = 1;  // for the clip; 1 where nothing is to be clipped, or the norm is not finite
  bool finite = true;
};

// Doubles that sum_of_squares writes for a tensor of so many elements.
int64_t norm_partials(int64_t num_elements);
template <class E>
void sum_of_squares(const E* gradient, int64_t num_elements, double* partials, Stream stream);

// out: device, one number: the partials' sum, as what ranks add up before finish_norm.
void add_partials(const double* partials, int64_t num_partials, double* out, Stream stream);

// partials: those of all tensors, one behind the other. out: device. max_norm 0: no clip.
void finish_norm(const double* partials, int64_t num_partials, double max_norm, GradientNorm* out, Stream stream);

// gradient *= norm->scale; nothing is read or written where that is 1.
template <class E>
void scale_gradient(E* gradient, int64_t num_elements, const GradientNorm* norm, Stream stream);

}  // namespace thinktune::kernels::cuda
