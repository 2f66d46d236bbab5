#include "kernels/rope.h"

#include <torch/csrc/autograd/custom_function.h>

#include "composite.h"
#include "element.h"
#include "gpu_kernels.h"
#include "thinktune/ops/fused.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// x_TNH: last dimension contiguous; cos, sin: contiguous.
at::Tensor turn_cpu(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK, bool forward) {
  at::Tensor y_TNH = at::empty(x_TNH.sizes(), x_TNH.options());
  const kernels::RopeShape all{x_TNH.size(0), x_TNH.size(1), x_TNH.size(2), x_TNH.stride(0), x_TNH.stride(1)};
  with_element(x_TNH, "rope", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E* x = data<E>(x_TNH);
    const A *cos = data<A>(cos_TK), *sin = data<A>(sin_TK);
    E* y = mutable_data<E>(y_TNH);
    const int64_t row = all.num_heads * all.head_size, half = all.head_size / 2;
    at::parallel_for(0, all.num_tokens, row_grain(row), [&](int64_t begin, int64_t end) {
      kernels::RopeShape shape = all;
      shape.num_tokens = end - begin;
      kernels::rope(x + begin * all.token_stride, cos + begin * half, sin + begin * half, shape, forward,
                    y + begin * row);
    });
  });
  return y_TNH;
}

at::Tensor turn(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK, bool forward) {
  return gpu::has_kernels(x_TNH) ? gpu::rope(x_TNH, cos_TK, sin_TK, forward) : turn_cpu(x_TNH, cos_TK, sin_TK, forward);
}

at::Tensor with_contiguous_heads(const at::Tensor& x_TNH) { return x_TNH.stride(2) == 1 ? x_TNH : x_TNH.contiguous(); }

struct Rope : torch::autograd::Function<Rope> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TNH, const at::Tensor& cos_TK,
                            const at::Tensor& sin_TK) {
    ctx->save_for_backward({cos_TK, sin_TK});
    return turn(x_TNH, cos_TK, sin_TK, /*forward=*/true);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("rope");
    const variable_list saved = ctx->get_saved_variables();
    return {turn(with_contiguous_heads(grads[0]), saved[0], saved[1], /*forward=*/false), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK) {
  TT_CHECK(x_TNH.dim() == 3 && x_TNH.size(2) % 2 == 0, "rope: x must be [T, N, H] with an even H, not {}",
           shape(x_TNH));
  for (const at::Tensor& table : {cos_TK, sin_TK}) {
    TT_CHECK(table.dim() == 2 && table.size(0) == x_TNH.size(0) && table.size(1) == x_TNH.size(2) / 2,
             "rope: for x {} cosines and sines must be [T, H/2], not {}", shape(x_TNH), shape(table));
    TT_CHECK(table.scalar_type() == accum_dtype(x_TNH) && !table.requires_grad(),
             "rope: cosines and sines must be {} constants", c10::toString(accum_dtype(x_TNH)));
  }
  if (!x_TNH.is_cpu() && !gpu::has_kernels(x_TNH)) return composite_rope(x_TNH, cos_TK, sin_TK);
  const at::Tensor x = with_contiguous_heads(x_TNH), cos = cos_TK.contiguous(), sin = sin_TK.contiguous();
  return wants_gradient({x}) ? Rope::apply(x, cos, sin) : turn(x, cos, sin, /*forward=*/true);
}

}  // namespace thinktune::ops
