#include "kernels/swiglu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "composite.h"
#include "element.h"
#include "thinktune/ops/fused.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor forward_cpu(const at::Tensor& gate_up_T2F) {
  const int64_t width = gate_up_T2F.size(1) / 2;
  at::Tensor out_TF = at::empty({gate_up_T2F.size(0), width}, gate_up_T2F.options());
  with_element(gate_up_T2F, "swiglu", [&]<class E>() {
    const E* gate_up = data<E>(gate_up_T2F);
    E* out = mutable_data<E>(out_TF);
    at::parallel_for(0, gate_up_T2F.size(0), row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::swiglu_forward(gate_up + begin * 2 * width, end - begin, width, out + begin * width);
    });
  });
  return out_TF;
}

at::Tensor backward_cpu(const at::Tensor& gate_up_T2F, const at::Tensor& dout_TF) {
  const int64_t width = dout_TF.size(1);
  at::Tensor dgate_up_T2F = at::empty_like(gate_up_T2F);
  with_element(gate_up_T2F, "swiglu", [&]<class E>() {
    const E *gate_up = data<E>(gate_up_T2F), *dout = data<E>(dout_TF);
    E* dgate_up = mutable_data<E>(dgate_up_T2F);
    at::parallel_for(0, dout_TF.size(0), row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::swiglu_backward(gate_up + begin * 2 * width, dout + begin * width, end - begin, width,
                               dgate_up + begin * 2 * width);
    });
  });
  return dgate_up_T2F;
}

struct Swiglu : torch::autograd::Function<Swiglu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up_T2F) {
    const at::Tensor gate_up = gate_up_T2F.contiguous();
    ctx->save_for_backward({gate_up});
    return forward_cpu(gate_up);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("swiglu");
    return {backward_cpu(ctx->get_saved_variables()[0], grads[0].contiguous())};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate_up_T2F) {
  TT_CHECK(gate_up_T2F.dim() == 2 && gate_up_T2F.size(1) % 2 == 0, "swiglu: gate and up must be one [T, 2F], not {}",
           shape(gate_up_T2F));
  if (!gate_up_T2F.is_cpu()) return composite_swiglu(gate_up_T2F);
  return wants_gradient({gate_up_T2F}) ? Swiglu::apply(gate_up_T2F) : forward_cpu(gate_up_T2F.contiguous());
}

}  // namespace thinktune::ops
