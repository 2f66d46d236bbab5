#include "thinktune/ops/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "element.h"
#include "leaf_sum.h"
#include "linear_gradients.h"
#include "tile_product.h"

namespace thinktune::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The layout is chosen for products of about so many rows; it serves any number.
constexpr int64_t kPackedFor = 64;

bool has_packed_products(const at::Tensor& weight) {
  return weight.is_cpu() && weight.scalar_type() == at::kFloat && at::globalContext().userEnabledMkldnn();
}

at::Tensor by_tiles(const at::Tensor& a_MK, const at::Tensor& b_KN, const at::Tensor& bias_N) {
  at::Tensor out_MN = at::empty({a_MK.size(0), b_KN.size(1)}, a_MK.options());
  tile_matmul(out_MN, a_MK, b_KN, bias_N, /*adds=*/false);
  return out_MN;
}

at::Tensor matrix_product(const at::Tensor& a_MK, const at::Tensor& b_KN) {
  return has_tile_products(a_MK, b_KN) ? by_tiles(a_MK, b_KN, {}) : a_MK.matmul(b_KN);
}

// Products by tiles, with their gradients.
struct TileLinear : torch::autograd::Function<TileLinear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& weight_FD,
                            const std::optional<at::Tensor>& bias_F) {
    ctx->save_for_backward({x_TD, weight_FD});
    if (bias_F.has_value()) ctx->saved_data["bias_dtype"] = static_cast<int64_t>(gradient_dtype(*bias_F));
    return by_tiles(x_TD, weight_FD.t(), bias_F.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative("linear");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x_TD = saved[0], &weight_FD = saved[1], dy_TF = grads[0].contiguous();
    at::Tensor dx, dweight, dbias;
    if (ctx->needs_input_grad(0)) dx = linear_input_gradient(dy_TF, weight_FD);
    if (ctx->needs_input_grad(1)) dweight = linear_weight_gradient(dy_TF, x_TD, weight_FD);
    if (const auto dtype = ctx->saved_data.find("bias_dtype");
        dtype != ctx->saved_data.end() && ctx->needs_input_grad(2))
      dbias = dy_TF.sum(0, /*keepdim=*/false, static_cast<at::ScalarType>(dtype->second.toInt()));
    return {dx, dweight, dbias};
  }
};

}  // namespace

at::Tensor linear_input_gradient(const at::Tensor& dy_TF, const at::Tensor& weight_FD) {
  return matrix_product(dy_TF, weight_FD);
}

at::Tensor linear_weight_gradient(const at::Tensor& dy_TF, const at::Tensor& x_TD, const at::Tensor& weight_FD) {
  const at::Tensor dy_FT = dy_TF.t();
  if (!has_tile_products(dy_FT, x_TD)) return dy_FT.matmul(x_TD);
  const LeafSum leaf = leaf_sum(weight_FD);
  if (!leaf.sum.defined()) return by_tiles(dy_FT, x_TD, {});
  tile_matmul(leaf.sum, dy_FT, x_TD, {}, /*adds=*/!leaf.is_new);
  return {};
}

at::Tensor linear(const at::Tensor& x_TD, const at::Tensor& weight_FD, const at::Tensor& bias_F) {
  const TiledWeight* tiles = tiled(weight_FD);
  if (tiles == nullptr && !weight_FD.is_mkldnn()) {
    if (x_TD.dim() != 2 || weight_FD.dim() != 2 || !has_tile_products(x_TD, weight_FD.t()))
      return at::linear(x_TD, weight_FD, bias_F);
    const at::Tensor x = x_TD.contiguous(), weight = weight_FD.contiguous();
    const auto bias = bias_F.defined() ? std::optional(bias_F) : std::nullopt;
    if (wants_gradient({x, weight}) || (bias.has_value() && wants_gradient({*bias})))
      return TileLinear::apply(x, weight, bias);
    return by_tiles(x, weight.t(), bias_F);
  }
  TT_CHECK(!wants_gradient({x_TD}), "linear: a packed weight has no gradients");
  if (tiles != nullptr) {
    at::Tensor y_TF = at::empty({x_TD.size(0), tiles->num_outputs}, x_TD.options());
    tile_product(y_TF, x_TD, *tiles, bias_F);
    return y_TF;
  }
  static const auto product =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>)>();
  static const c10::List<std::optional<at::Scalar>> no_scalars;
  const std::optional<at::Tensor> bias = bias_F.defined() ? std::optional(bias_F) : std::nullopt;
  // One row alone goes to a product with a vector, which sums in another order.
  if (x_TD.size(0) == 1)
    return product.call(x_TD.expand({2, x_TD.size(1)}).contiguous(), weight_FD, bias, "none", no_scalars, "")
        .narrow(0, 0, 1);
  return product.call(x_TD, weight_FD, bias, "none", no_scalars, "");
}

bool is_packed(const at::Tensor& weight) { return weight.is_mkldnn() || tiled(weight) != nullptr; }

at::Tensor pack_weight(const at::Tensor& weight_FD) {
  if (has_tile_products(weight_FD)) return tile_weight(weight_FD.detach());
  if (!has_packed_products(weight_FD)) return weight_FD;
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<at::Tensor(const at::Tensor&, std::optional<c10::SymInt>)>();
  return reorder.call(weight_FD.detach().contiguous(), c10::SymInt(kPackedFor));
}

}  // namespace thinktune::ops
