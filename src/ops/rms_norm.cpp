#include "kernels/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "composite.h"
#include "element.h"
#include "gpu_kernels.h"
#include "leaf_sum.h"
#include "thinktune/ops/fused.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows of one block of the weight gradient's sum: fixed, so that the sum does not depend on the number of threads.
constexpr int64_t kRowsPerBlock = 64;

// inverse_rms_T may be undefined. residual_TD: undefined, or what x is added to, which is normed then.
at::Tensor forward_cpu(const at::Tensor& x_TD, const at::Tensor& residual_TD, const at::Tensor& weight_D,
                       const RmsNormForm& form, const at::Tensor& inverse_rms_T) {
  const int64_t width = x_TD.size(1);
  at::Tensor y_TD = at::empty({x_TD.size(0), width}, x_TD.options());
  with_element(x_TD, "rms_norm", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E *x = data<E>(x_TD), *weight = data<E>(weight_D);
    E *y = mutable_data<E>(y_TD), *residual = residual_TD.defined() ? mutable_data<E>(residual_TD) : nullptr;
    A* inverse = inverse_rms_T.defined() ? mutable_data<A>(inverse_rms_T) : nullptr;
    at::parallel_for(0, x_TD.size(0), row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::rms_norm_forward<E>(x + begin * width, residual ? residual + begin * width : nullptr, weight, form,
                                   end - begin, width, y + begin * width, inverse ? inverse + begin : nullptr);
    });
  });
  return y_TD;
}

// Undefined tensors for gradients that are not asked for; dweight_D of gradient_dtype(weight_D). dresidual_TD, which
// may be undefined, is added to dx.
void backward_cpu(const at::Tensor& x_TD, const at::Tensor& weight_D, const RmsNormForm& form,
                  const at::Tensor& inverse_rms_T, const at::Tensor& dy_TD, const at::Tensor& dresidual_TD,
                  const at::Tensor& dx_TD, const at::Tensor& dweight_D) {
  const int64_t num_rows = x_TD.size(0), width = x_TD.size(1);
  const int64_t num_blocks = (num_rows + kRowsPerBlock - 1) / kRowsPerBlock;
  at::Tensor blocks_BD;
  if (dweight_D.defined()) blocks_BD = at::zeros({num_blocks, width}, x_TD.options().dtype(accum_dtype(x_TD)));
  with_element(x_TD, "rms_norm", [&]<class E>() {
    using A = kernels::Accum<E>;
    const E *x = data<E>(x_TD), *weight = data<E>(weight_D), *dy = data<E>(dy_TD),
            *dresidual = dresidual_TD.defined() ? data<E>(dresidual_TD) : nullptr;
    const A* inverse = data<A>(inverse_rms_T);
    E* dx = dx_TD.defined() ? mutable_data<E>(dx_TD) : nullptr;
    A* blocks = blocks_BD.defined() ? mutable_data<A>(blocks_BD) : nullptr;
    at::parallel_for(0, num_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t row = b * kRowsPerBlock, offset = row * width;
        kernels::rms_norm_backward<E>(x + offset, weight, form, inverse + row, dy + offset,
                                      dresidual ? dresidual + offset : nullptr, std::min(kRowsPerBlock, num_rows - row),
                                      width, dx ? dx + offset : nullptr, blocks ? blocks + b * width : nullptr);
      }
    });
    if (!dweight_D.defined()) return;
    if (dweight_D.scalar_type() == blocks_BD.scalar_type())
      kernels::sum_blocks(blocks, num_blocks, width, mutable_data<A>(dweight_D));
    else
      kernels::sum_blocks(blocks, num_blocks, width, mutable_data<E>(dweight_D));
  });
}

at::Tensor forward_on_device(const at::Tensor& x_TD, const at::Tensor& residual_TD, const at::Tensor& weight_D,
                             const RmsNormForm& form, const at::Tensor& inverse_rms_T) {
  const auto forward = gpu::has_kernels(x_TD) ? gpu::rms_norm_forward : forward_cpu;
  return forward(x_TD, residual_TD, weight_D, form, inverse_rms_T);
}

void backward_on_device(const at::Tensor& x_TD, const at::Tensor& weight_D, const RmsNormForm& form,
                        const at::Tensor& inverse_rms_T, const at::Tensor& dy_TD, const at::Tensor& dresidual_TD,
                        const at::Tensor& dx_TD, const at::Tensor& dweight_D) {
  const auto backward = gpu::has_kernels(x_TD) ? gpu::rms_norm_backward : backward_cpu;
  backward(x_TD, weight_D, form, inverse_rms_T, dy_TD, dresidual_TD, dx_TD, dweight_D);
}

at::Tensor empty_gradient(const at::Tensor& weight_D) {
  return at::empty(weight_D.sizes(), weight_D.options().dtype(gradient_dtype(weight_D)));
}

// What the backward pass needs of a form.
void keep(AutogradContext* ctx, const RmsNormForm& form) {
  ctx->saved_data["weight_plus_one"] = form.weight_plus_one;
  ctx->saved_data["round_before_weight"] = form.round_before_weight;
}
RmsNormForm kept_form(AutogradContext* ctx) {
  return {.weight_plus_one = ctx->saved_data["weight_plus_one"].toBool(),
          .round_before_weight = ctx->saved_data["round_before_weight"].toBool()};
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& weight_D,
                            const RmsNormForm& form) {
    const at::Tensor x = x_TD.contiguous(), weight = weight_D.contiguous();
    const at::Tensor inverse_rms_T = at::empty({x.size(0)}, x.options().dtype(accum_dtype(x)));
    ctx->save_for_backward({x, weight, inverse_rms_T});
    keep(ctx, form);
    return forward_on_device(x, {}, weight, form, inverse_rms_T);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("rms_norm");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    at::Tensor dx, dweight;
    if (ctx->needs_input_grad(0)) dx = at::empty_like(x);
    if (ctx->needs_input_grad(1)) dweight = empty_gradient(weight);
    const RmsNormForm form = kept_form(ctx);
    backward_on_device(x, weight, form, saved[2], grads[0].contiguous(), {}, dx, dweight);
    return {dx, dweight, at::Tensor()};
  }
};

AddedNorm added(const at::Tensor& x_TD, const at::Tensor& delta_TD, const at::Tensor& weight_D, const RmsNormForm& form,
                const at::Tensor& inverse_rms_T) {
  const at::Tensor sum_TD = x_TD.clone(at::MemoryFormat::Contiguous);
  return {sum_TD, forward_on_device(delta_TD, sum_TD, weight_D, form, inverse_rms_T)};
}

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& delta_TD,
                               const at::Tensor& weight_D, const RmsNormForm& form) {
    const at::Tensor weight = weight_D.contiguous();
    const at::Tensor inverse_rms_T = at::empty({x_TD.size(0)}, x_TD.options().dtype(accum_dtype(x_TD)));
    const AddedNorm both = added(x_TD, delta_TD.contiguous(), weight, form, inverse_rms_T);
    ctx->save_for_backward({both.sum_TD, weight, inverse_rms_T});
    keep(ctx, form);
    return {both.sum_TD, both.normed_TD};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("add_rms_norm");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &sum = saved[0], &weight = saved[1];
    at::Tensor dsum, dweight;  // of x and of delta alike
    if (ctx->needs_input_grad(0) || ctx->needs_input_grad(1)) dsum = at::empty_like(sum);
    if (ctx->needs_input_grad(2)) dweight = empty_gradient(weight);
    const RmsNormForm form = kept_form(ctx);
    backward_on_device(sum, weight, form, saved[2], grads[1].contiguous(), grads[0].contiguous(), dsum, dweight);
    return {dsum, dsum, dweight, at::Tensor()};
  }
};

void check(const char* op, const at::Tensor& x_TD, const at::Tensor& weight_D) {
  TT_CHECK(x_TD.dim() == 2 && weight_D.dim() == 1 && x_TD.size(1) == weight_D.size(0) && weight_D.size(0) > 0,
           "{}: x must be [T, D] and weight [D], not {} and {}", op, shape(x_TD), shape(weight_D));
  TT_CHECK(x_TD.scalar_type() == weight_D.scalar_type(), "{}: x is {} and weight {}", op,
           c10::toString(x_TD.scalar_type()), c10::toString(weight_D.scalar_type()));
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, const RmsNormForm& form) {
  check("rms_norm", x_TD, weight_D);
  if (!x_TD.is_cpu() && !gpu::has_kernels(x_TD)) return composite_rms_norm(x_TD, weight_D, form);
  if (wants_gradient({x_TD, weight_D})) return RmsNorm::apply(x_TD, weight_D, form);
  return forward_on_device(x_TD.contiguous(), {}, weight_D.contiguous(), form, {});
}

AddedNorm add_rms_norm(const at::Tensor& x_TD, const at::Tensor& delta_TD, const at::Tensor& weight_D,
                       const RmsNormForm& form) {
  check("add_rms_norm", x_TD, weight_D);
  TT_CHECK(delta_TD.sizes() == x_TD.sizes() && delta_TD.scalar_type() == x_TD.scalar_type(),
           "add_rms_norm: x is {} of {}, and what is added {} of {}", shape(x_TD), c10::toString(x_TD.scalar_type()),
           shape(delta_TD), c10::toString(delta_TD.scalar_type()));
  if (!x_TD.is_cpu() && !gpu::has_kernels(x_TD)) {
    const at::Tensor sum_TD = x_TD + delta_TD;
    return {sum_TD, rms_norm(sum_TD, weight_D, form)};
  }
  if (!wants_gradient({x_TD, delta_TD, weight_D}))
    return added(x_TD, delta_TD.contiguous(), weight_D.contiguous(), form, {});
  const variable_list outputs = AddRmsNorm::apply(x_TD, delta_TD, weight_D, form);
  return {outputs[0], outputs[1]};
}

}  // namespace thinktune::ops
