#include "kernels/glu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "composite.h"
#include "element.h"
#include "gpu_kernels.h"
#include "linear_gradients.h"
#include "thinktune/ops/fused.h"
#include "thinktune/ops/linear.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor forward_cpu(const at::Tensor& gate_up_T2F, Activation activation) {
  const int64_t width = gate_up_T2F.size(1) / 2;
  at::Tensor out_TF = at::empty({gate_up_T2F.size(0), width}, gate_up_T2F.options());
  with_element(gate_up_T2F, "glu", [&]<class E>() {
    const E* gate_up = data<E>(gate_up_T2F);
    E* out = mutable_data<E>(out_TF);
    at::parallel_for(0, gate_up_T2F.size(0), row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::glu_forward(gate_up + begin * 2 * width, activation, end - begin, width, out + begin * width);
    });
  });
  return out_TF;
}

at::Tensor backward_cpu(const at::Tensor& gate_up_T2F, const at::Tensor& dout_TF, Activation activation) {
  const int64_t width = dout_TF.size(1);
  at::Tensor dgate_up_T2F = at::empty_like(gate_up_T2F);
  with_element(gate_up_T2F, "glu", [&]<class E>() {
    const E *gate_up = data<E>(gate_up_T2F), *dout = data<E>(dout_TF);
    E* dgate_up = mutable_data<E>(dgate_up_T2F);
    at::parallel_for(0, dout_TF.size(0), row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::glu_backward(gate_up + begin * 2 * width, dout + begin * width, activation, end - begin, width,
                            dgate_up + begin * 2 * width);
    });
  });
  return dgate_up_T2F;
}

at::Tensor forward_on_device(const at::Tensor& gate_up_T2F, Activation activation) {
  const auto forward = gpu::has_kernels(gate_up_T2F) ? gpu::glu_forward : forward_cpu;
  return forward(gate_up_T2F, activation);
}

at::Tensor backward_on_device(const at::Tensor& gate_up_T2F, const at::Tensor& dout_TF, Activation activation) {
  const auto backward = gpu::has_kernels(gate_up_T2F) ? gpu::glu_backward : backward_cpu;
  return backward(gate_up_T2F, dout_TF, activation);
}

bool is_composite(const at::Tensor& gate_up_T2F) { return !gate_up_T2F.is_cpu() && !gpu::has_kernels(gate_up_T2F); }

void check(const at::Tensor& gate_up_T2F) {
  TT_CHECK(gate_up_T2F.dim() == 2 && gate_up_T2F.size(1) % 2 == 0, "glu: gate and up must be one [T, 2F], not {}",
           shape(gate_up_T2F));
}

struct Glu : torch::autograd::Function<Glu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up_T2F, Activation activation) {
    const at::Tensor gate_up = gate_up_T2F.contiguous();
    ctx->save_for_backward({gate_up});
    ctx->saved_data["activation"] = static_cast<int64_t>(activation);
    return forward_on_device(gate_up, activation);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("glu");
    const auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    return {backward_on_device(ctx->get_saved_variables()[0], grads[0].contiguous(), activation), at::Tensor()};
  }
};

// Computes the hidden layer again for the gradients: it is a third of what an MLP would keep.
struct GluLinear : torch::autograd::Function<GluLinear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up_T2F, const at::Tensor& weight_DF,
                            Activation activation) {
    const at::Tensor gate_up = gate_up_T2F.contiguous();
    ctx->save_for_backward({gate_up, weight_DF});
    ctx->saved_data["activation"] = static_cast<int64_t>(activation);
    return ops::linear(forward_on_device(gate_up, activation), weight_DF);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("glu_linear");
    const auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate_up = saved[0], &weight = saved[1], dy = grads[0].contiguous();
    at::Tensor dgate_up, dweight;
    if (ctx->needs_input_grad(0)) dgate_up = backward_on_device(gate_up, linear_input_gradient(dy, weight), activation);
    if (ctx->needs_input_grad(1)) dweight = linear_weight_gradient(dy, forward_on_device(gate_up, activation), weight);
    return {dgate_up, dweight, at::Tensor()};
  }
};

}  // namespace

at::Tensor glu(const at::Tensor& gate_up_T2F, Activation activation) {
  check(gate_up_T2F);
  if (is_composite(gate_up_T2F)) return composite_glu(gate_up_T2F, activation);
  return wants_gradient({gate_up_T2F}) ? Glu::apply(gate_up_T2F, activation)
                                       : forward_on_device(gate_up_T2F.contiguous(), activation);
}

at::Tensor glu_linear(const at::Tensor& gate_up_T2F, Activation activation, const at::Tensor& weight_DF) {
  check(gate_up_T2F);
  if (is_composite(gate_up_T2F) || is_packed(weight_DF) || !wants_gradient({gate_up_T2F, weight_DF}))
    return ops::linear(glu(gate_up_T2F, activation), weight_DF);
  return GluLinear::apply(gate_up_T2F, weight_DF, activation);
}

}  // namespace thinktune::ops
