#include "thinktune/ops/recomputed.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "element.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Callable final : torch::CustomClassHolder {
  explicit Callable(std::function<at::Tensor(const at::Tensor&)> function) : f(std::move(function)) {}
  std::function<at::Tensor(const at::Tensor&)> f;
};

struct Recomputed : torch::autograd::Function<Recomputed> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const c10::intrusive_ptr<Callable>& callable) {
    ctx->save_for_backward({x});
    ctx->saved_data["f"] = at::IValue::make_capsule(callable);
    return callable->f(x);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("recomputed");
    const at::AutoGradMode with_graph(true);
    const at::Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(ctx->needs_input_grad(0));
    const auto callable = c10::static_intrusive_pointer_cast<Callable>(ctx->saved_data["f"].toCapsule());
    torch::autograd::backward({callable->f(x)}, {grads[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recomputed(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> f) {
  if (!wants_gradient({x})) return f(x);
  return Recomputed::apply(x, c10::make_intrusive<Callable>(std::move(f)));
}

}  // namespace thinktune::ops
