#include "thinktune/ops/policy_loss.h"

#include <torch/csrc/autograd/custom_function.h>

#include "element.h"
#include "gpu_kernels.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The gradient is made with the loss: backward has only the factor left.
struct PolicyLoss : torch::autograd::Function<PolicyLoss> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logprobs_M, const at::Tensor& entropy_M,
                            const PolicyLossArrays& arrays, const kernels::cuda::PolicyLossOptions& options,
                            PolicyLossResult* result) {
    PolicyLossArrays given = arrays;
    given.logprobs_M = logprobs_M;
    if (arrays.entropy_M.defined()) given.entropy_M = entropy_M;
    gpu::PolicyLossPass pass = gpu::policy_loss(given, options);
    ctx->save_for_backward({pass.grad_logprobs_M, pass.grad_entropy_M});
    *result = std::move(pass.result);
    return result->loss;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("policy_loss");
    const variable_list saved = ctx->get_saved_variables();
    const auto grad = [&](size_t input) {
      return ctx->needs_input_grad(input) && saved[input].defined() ? saved[input] * grads[0] : at::Tensor();
    };
    return {grad(0), grad(1), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool has_policy_loss(const at::Tensor& logprobs_M) {
  return gpu::has_kernels(logprobs_M) && logprobs_M.scalar_type() == at::kFloat;
}

PolicyLossResult policy_loss(const PolicyLossArrays& arrays, const kernels::cuda::PolicyLossOptions& options) {
  PolicyLossResult result;
  // LibTorch takes no undefined tensor as an input.
  const at::Tensor entropy = arrays.entropy_M.defined() ? arrays.entropy_M : at::empty({0}, arrays.weights_M.options());
  result.loss = PolicyLoss::apply(arrays.logprobs_M, entropy, arrays, options, &result);
  return result;
}

}  // namespace thinktune::ops
