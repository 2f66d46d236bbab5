#include "composite.h"

#include <ATen/ATen.h>

#include "element.h"

namespace thinktune::ops {

at::Tensor composite_rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, const RmsNormForm& form) {
  const at::Tensor x = x_TD.to(accum_dtype(x_TD));
  at::Tensor normalized = x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + form.epsilon);
  if (form.round_before_weight) normalized = normalized.to(x_TD.scalar_type());
  const at::Tensor weight = weight_D.to(normalized.scalar_type());
  return (normalized * (form.weight_plus_one ? weight + 1 : weight)).to(x_TD.scalar_type());
}

at::Tensor composite_rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK) {
  const std::vector<at::Tensor> halves = x_TNH.to(accum_dtype(x_TNH)).chunk(2, -1);
  const at::Tensor cos = cos_TK.unsqueeze(1), sin = sin_TK.unsqueeze(1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1).to(x_TNH.scalar_type());
}

at::Tensor composite_glu(const at::Tensor& gate_up_T2F, Activation activation) {
  const std::vector<at::Tensor> parts = gate_up_T2F.to(accum_dtype(gate_up_T2F)).chunk(2, -1);
  const at::Tensor gate = activation == Activation::Silu ? at::silu(parts[0]) : at::gelu(parts[0], "tanh");
  return (gate * parts[1]).to(gate_up_T2F.scalar_type());
}

}  // namespace thinktune::ops
