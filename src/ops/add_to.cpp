#include <ATen/ATen.h>

#include "element.h"
#include "kernels/round_rows.h"
#include "thinktune/ops/fused.h"

namespace thinktune::ops {

void add_to(const at::Tensor& sum, const at::Tensor& x) {
  TT_CHECK(sum.sizes() == x.sizes() && sum.scalar_type() == accum_dtype(x) && sum.is_contiguous() && x.is_contiguous(),
           "add_to: {} of type {} onto {} of type {}, both contiguous", shape(x), c10::toString(x.scalar_type()),
           shape(sum), c10::toString(sum.scalar_type()));
  if (!x.is_cpu()) {
    at::Tensor(sum).add_(x);
    return;
  }
  with_element(x, "add_to", [&]<class E>() {
    const E* from = data<E>(x);
    auto* to = mutable_data<kernels::Accum<E>>(sum);
    at::parallel_for(0, x.numel(), row_grain(1), [&](int64_t begin, int64_t end) {
      kernels::add_rows(from + begin, 0, /*num_rows=*/1, end - begin, 0, to + begin);
    });
  });
}

}  // namespace thinktune::ops
