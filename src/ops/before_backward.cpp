#include "thinktune/ops/before_backward.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include "element.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Callable final : torch::CustomClassHolder {
  explicit Callable(std::function<void()> function) : f(std::move(function)) {}
  std::function<void()> f;
};

struct BeforeBackward : torch::autograd::Function<BeforeBackward> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const c10::intrusive_ptr<Callable>& callable) {
    ctx->saved_data["f"] = at::IValue::make_capsule(callable);
    return x;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    c10::static_intrusive_pointer_cast<Callable>(ctx->saved_data["f"].toCapsule())->f();
    return {grads[0], at::Tensor()};
  }
};

}  // namespace

at::Tensor before_backward(const at::Tensor& x, std::function<void()> f) {
  if (!wants_gradient({x})) return x;
  return BeforeBackward::apply(x, c10::make_intrusive<Callable>(std::move(f)));
}

}  // namespace thinktune::ops
