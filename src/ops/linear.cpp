#include "thinktune/ops/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>

#include "element.h"
#include "kernels/instruction_set.h"
#include "tile_product.h"

namespace thinktune::ops {
namespace {

// The layout is chosen for products of about so many rows; it serves any number.
constexpr int64_t kPackedFor = 64;

bool has_packed_products(const at::Tensor& weight) {
  if (!weight.is_cpu() || !at::globalContext().userEnabledMkldnn()) return false;
  const std::vector<kernels::InstructionSet> sets = kernels::available_instruction_sets();
  const bool avx512 = std::find(sets.begin(), sets.end(), kernels::InstructionSet::Avx512) != sets.end();
  return weight.scalar_type() == at::kFloat || (weight.scalar_type() == at::kBFloat16 && avx512);
}

}  // namespace

at::Tensor linear(const at::Tensor& x_TD, const at::Tensor& weight_FD, const at::Tensor& bias_F) {
  const TiledWeight* tiles = tiled(weight_FD);
  if (tiles == nullptr && !weight_FD.is_mkldnn()) return at::linear(x_TD, weight_FD, bias_F);
  TT_CHECK(!wants_gradient({x_TD}), "linear: a packed weight has no gradients");
  if (tiles != nullptr) return tile_product(x_TD, *tiles, bias_F);
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
