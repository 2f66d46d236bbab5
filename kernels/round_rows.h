// From the numbers that products are summed in to a tensor's elements, and back.
#pragma once

#include <cstdint>

#include "kernels/element.h"

namespace thinktune::kernels {

// out[r · out_stride + i] = sums[r · sums_stride + i] + bias[i], rounded once, for r < num_rows, i < width. bias may be
// null.
template <class E>
void round_rows(const Accum<E>* sums, int64_t sums_stride, const E* bias, int64_t num_rows, int64_t width,
                int64_t out_stride, E* out);

// sums[r · sums_stride + i] += x[r · x_stride + i] for r < num_rows, i < width.
template <class E>
void add_rows(const E* x, int64_t x_stride, int64_t num_rows, int64_t width, int64_t sums_stride, Accum<E>* sums);

}  // namespace thinktune::kernels
