// Letters: T tokens of all sequences, flat, D width, N query heads, K key/value heads, H head size, F width of the MLP.
#include "thinktune/model/decoder.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "thinktune/core/error.h"
#include "thinktune/ops/fused.h"

namespace thinktune::model {
namespace {

// Angle per position of each pair of a head, [H/2], f64. Llama 3.1: wavelengths longer than original/low are divided by
// the factor, shorter than original/high stay, a linear ramp (in original/wavelength) between.
at::Tensor inverse_frequencies(const ModelConfig& config) {
  const int64_t half = config.head_dim / 2;
  at::Tensor frequencies = at::empty({half}, at::kDouble);
  double* f = frequencies.data_ptr<double>();
  for (int64_t i = 0; i < half; ++i) {
    f[i] = std::pow(config.rope_theta, -static_cast<double>(i) / static_cast<double>(half));
    if (!config.rope_scaling) continue;
    const Llama3RopeScaling& s = *config.rope_scaling;
    const double turns = static_cast<double>(s.original_max_position) * f[i] / (2 * std::numbers::pi);
    const double keep = std::clamp((turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
    f[i] = keep * f[i] + (1 - keep) * f[i] / s.factor;
  }
  return frequencies;
}

}  // namespace

Decoder::Decoder(ModelConfig config) : config_(std::move(config)) {
  validate(config_, "model");
  inverse_frequencies_ = inverse_frequencies(config_);
}

at::Tensor Decoder::forward(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                            Attention& attention) const {
  const int64_t T = ids_T.size(0), N = config_.num_heads, K = config_.num_kv_heads, H = config_.head_dim;
  TT_CHECK(positions_T.size(0) == T, "{} ids but {} positions", T, positions_T.size(0));
  const at::ScalarType angle_type = weights.embedding.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor angles_TK = at::outer(positions_T.to(at::kDouble), inverse_frequencies_);
  const at::Tensor cos_TK = at::cos(angles_TK).to(weights.embedding.device(), angle_type);
  const at::Tensor sin_TK = at::sin(angles_TK).to(weights.embedding.device(), angle_type);

  at::Tensor x_TD = at::embedding(weights.embedding, ids_T);
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const LayerWeights& w = weights.layers[static_cast<size_t>(layer)];
    const at::Tensor qkv = at::linear(ops::rms_norm(x_TD, w.input_norm, config_.rms_norm_eps), w.qkv);
    const std::vector<at::Tensor> parts = qkv.split_with_sizes({N * H, K * H, K * H}, 1);
    const at::Tensor q_TNH = ops::rope(parts[0].view({T, N, H}), cos_TK, sin_TK);
    const at::Tensor k_TKH = ops::rope(parts[1].view({T, K, H}), cos_TK, sin_TK);
    const at::Tensor v_TKH = parts[2].view({T, K, H});
    const at::Tensor attended = attention.attend(layer, q_TNH, k_TKH, v_TKH).reshape({T, N * H});
    x_TD = x_TD + at::linear(attended, w.output);
    const at::Tensor gate_up_T2F = at::linear(ops::rms_norm(x_TD, w.post_norm, config_.rms_norm_eps), w.gate_up);
    x_TD = x_TD + at::linear(ops::swiglu(gate_up_T2F), w.down);
  }
  return ops::rms_norm(x_TD, weights.final_norm, config_.rms_norm_eps);
}

at::Tensor Decoder::logits(const Weights& weights, const at::Tensor& hidden_TD) const {
  return at::linear(hidden_TD, weights.head);
}

}  // namespace thinktune::model
