#include "thinktune/ops/embedding.h"

#include <torch/csrc/autograd/custom_function.h>

#include "element.h"
#include "kernels/round_rows.h"
#include "leaf_sum.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Embedding : torch::autograd::Function<Embedding> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight_VD, const at::Tensor& ids_T) {
    ctx->save_for_backward({weight_VD, ids_T});
    return at::embedding(weight_VD, ids_T);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("embedding");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &weight_VD = saved[0], &ids_T = saved[1], dout_TD = grads[0].contiguous();
    const LeafSum leaf = leaf_sum(weight_VD);
    if (!leaf.sum.defined())
      return {at::embedding_backward(dout_TD, ids_T, weight_VD.size(0), /*padding_idx=*/-1,
                                     /*scale_grad_by_freq=*/false, /*sparse=*/false),
              at::Tensor()};
    if (leaf.is_new) leaf.sum.zero_();
    // One after the other: a row may be read many times.
    const int64_t width = weight_VD.size(1);
    const auto* ids = data<int64_t>(ids_T);
    for (int64_t t = 0; t < ids_T.size(0); ++t)
      kernels::add_rows(data<kernels::Bf16>(dout_TD) + t * width, 0, /*num_rows=*/1, width, 0,
                        mutable_data<float>(leaf.sum) + ids[t] * width);
    return {at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor embedding(const at::Tensor& weight_VD, const at::Tensor& ids_T) {
  TT_CHECK(weight_VD.dim() == 2 && ids_T.dim() == 1 && ids_T.scalar_type() == at::kLong,
           "embedding: ids must be [T] int64 and weight [V, D], not {} {} and {}", shape(ids_T),
           c10::toString(ids_T.scalar_type()), shape(weight_VD));
  return wants_gradient({weight_VD}) ? Embedding::apply(weight_VD, ids_T.contiguous())
                                     : at::embedding(weight_VD, ids_T);
}

}  // namespace thinktune::ops
