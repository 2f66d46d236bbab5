// Letters: T tokens, V vocabulary, D width.
#pragma once

#include <ATen/core/Tensor.h>

namespace thinktune::ops {

// Row ids_T[t] of weight_VD for each t, [T, D]. ids_T: int64. A gradient that is summed (gradient_sum.h) is added to
// the rows that were read, the others are not touched.
at::Tensor embedding(const at::Tensor& weight_VD, const at::Tensor& ids_T);

}  // namespace thinktune::ops
