#include "thinktune/ops/gradient_sum.h"

#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <type_traits>
#include <utility>

#include "element.h"
#include "leaf_sum.h"

namespace thinktune::ops {
namespace {

// A gradient of any dtype is let through to such a leaf: that is also how it is known.
bool is_summed(const at::Tensor& weight) {
  return weight.is_cpu() && weight.scalar_type() == at::kBFloat16 && weight.is_leaf() && weight.requires_grad() &&
         !weight.grad_dtype().has_value();
}

}  // namespace

std::shared_ptr<void> sum_gradients(const at::Tensor& leaf, std::function<void()> arrived) {
  TT_CHECK(leaf.is_leaf() && leaf.requires_grad() && leaf.is_contiguous(), "sum_gradients: not a contiguous leaf");
  if (leaf.scalar_type() == at::kBFloat16) leaf.set_grad_dtype(std::nullopt);
  // What runs when all of a pass has come, also if all of it was added on the way. The leaf does not keep it.
  const auto last = torch::autograd::impl::grad_accumulator(leaf);
  last->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
      [leaf, arrived = std::move(arrived)](const torch::autograd::variable_list& nothing, const auto&) {
        at::Tensor& sum = at::Tensor(leaf).mutable_grad();
        if (sum.defined()) sum = sum.to(accum_dtype(leaf)).contiguous();
        arrived();
        return nothing;
      }));
  return std::make_shared<std::decay_t<decltype(last)>>(last);
}

LeafSum leaf_sum(const at::Tensor& weight) {
  if (!is_summed(weight)) return {};
  at::Tensor& sum = at::Tensor(weight).mutable_grad();
  const bool is_new = !sum.defined();
  if (is_new) sum = at::empty(weight.sizes(), weight.options().dtype(at::kFloat).requires_grad(false));
  return {sum, is_new};
}

at::ScalarType gradient_dtype(const at::Tensor& weight) {
  return is_summed(weight) ? at::kFloat : weight.scalar_type();
}

}  // namespace thinktune::ops
