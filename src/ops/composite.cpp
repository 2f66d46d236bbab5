#include "composite.h"

#include <ATen/ATen.h>

#include "element.h"

namespace thinktune::ops {

at::Tensor composite_rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon) {
  const at::Tensor x = x_TD.to(accum_dtype(x_TD));
  const at::Tensor normalized = x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + epsilon);
  return normalized.to(x_TD.scalar_type()) * weight_D;
}

at::Tensor composite_rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK) {
  const std::vector<at::Tensor> halves = x_TNH.to(accum_dtype(x_TNH)).chunk(2, -1);
  const at::Tensor cos = cos_TK.unsqueeze(1), sin = sin_TK.unsqueeze(1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1).to(x_TNH.scalar_type());
}

at::Tensor composite_swiglu(const at::Tensor& gate_up_T2F) {
  const std::vector<at::Tensor> parts = gate_up_T2F.to(accum_dtype(gate_up_T2F)).chunk(2, -1);
  return (at::silu(parts[0]) * parts[1]).to(gate_up_T2F.scalar_type());
}

}  // namespace thinktune::ops
