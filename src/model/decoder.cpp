// Letters: T tokens of all sequences, flat, D width, N query heads, K key/value heads, H head size, F width of the MLP,
// R rotary dimensions of a head.
#include "thinktune/model/decoder.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "thinktune/core/error.h"
#include "thinktune/ops/fused.h"
#include "thinktune/ops/linear.h"

namespace thinktune::model {
namespace {

// Cosines and sines of all tokens' angles, [T, R/2].
struct Angles {
  at::Tensor cos, sin;
};

Angles angles(const at::Tensor& positions_T, const at::Tensor& frequencies, double factor, const at::Tensor& like) {
  const at::ScalarType dtype = like.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor angle = at::outer(positions_T.to(at::kDouble), frequencies);
  const auto table = [&](const at::Tensor& t) { return (factor == 1.0 ? t : t * factor).to(like.device(), dtype); };
  return {table(at::cos(angle)), table(at::sin(angle))};
}

// The first R dimensions of each head are turned, the others stay.
at::Tensor turn(const at::Tensor& x_TNH, const Angles& angles) {
  const int64_t R = 2 * angles.cos.size(1), H = x_TNH.size(2);
  if (R == H) return ops::rope(x_TNH, angles.cos, angles.sin);
  return at::cat({ops::rope(x_TNH.narrow(2, 0, R), angles.cos, angles.sin), x_TNH.narrow(2, R, H - R)}, 2);
}

at::Tensor frequency_tensor(const ModelConfig& config, const Rope& rope) {
  return at::tensor(rotary_frequencies(config, rope), at::TensorOptions().dtype(at::kDouble));
}

}  // namespace

Decoder::Decoder(ModelConfig config) : config_(std::move(config)) {
  validate(config_, "model");
  frequencies_ = frequency_tensor(config_, config_.rope);
  local_frequencies_ = frequency_tensor(config_, config_.local_rope);
}

at::Tensor Decoder::forward(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                            Attention& attention) const {
  const ModelConfig& c = config_;
  const int64_t T = ids_T.size(0), N = c.num_heads, K = c.num_kv_heads, H = c.head_dim;
  TT_CHECK(positions_T.size(0) == T, "{} ids but {} positions", T, positions_T.size(0));
  const ops::RmsNormForm form{c.rms_norm_eps, c.norm_weight_plus_one, c.norm_round_before_weight};
  const auto norm = [&](const at::Tensor& x_TD, const at::Tensor& weight_D) {  // where the family has none: x itself
    return weight_D.defined() ? ops::rms_norm(x_TD, weight_D, form) : x_TD;
  };
  const auto head_norm = [&](const at::Tensor& x, int64_t heads, const at::Tensor& weight) {  // [T, heads, H]
    if (c.qk_norm == QkNorm::None) return x.view({T, heads, H});
    const int64_t width = c.qk_norm == QkNorm::Head ? H : heads * H;
    return norm(x.reshape({-1, width}), weight).view({T, heads, H});
  };
  const ops::Activation activation =
      c.activation == MlpActivation::Silu ? ops::Activation::Silu : ops::Activation::GeluTanh;
  const Angles everywhere = angles(positions_T, frequencies_, c.rope.attention_factor, weights.embedding);
  const Angles local = c.local_rope == c.rope
                           ? everywhere
                           : angles(positions_T, local_frequencies_, c.local_rope.attention_factor, weights.embedding);

  at::Tensor x_TD = at::embedding(weights.embedding, ids_T);
  // The reference rounds the scale to the weights' dtype first.
  if (c.embedding_scale != 1.0) x_TD = x_TD * at::scalar_tensor(c.embedding_scale, x_TD.options()).item();
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    const LayerWeights& w = weights.layers[static_cast<size_t>(layer)];
    const Angles& positions = window_of(c, layer) > 0 ? local : everywhere;
    const at::Tensor qkv = ops::linear(norm(x_TD, w.attention_norm), w.qkv, w.qkv_bias);
    const std::vector<at::Tensor> parts = qkv.split_with_sizes({N * H, K * H, K * H}, 1);
    const at::Tensor q_TNH = turn(head_norm(parts[0], N, w.q_norm), positions);
    const at::Tensor k_TKH = turn(head_norm(parts[1], K, w.k_norm), positions);
    const at::Tensor v_TKH = parts[2].view({T, K, H});
    const at::Tensor attended = attention.attend(layer, q_TNH, k_TKH, v_TKH).reshape({T, N * H});
    x_TD = x_TD + norm(ops::linear(attended, w.output), w.attention_out_norm);
    const at::Tensor gate_up_T2F = ops::linear(norm(x_TD, w.mlp_norm), w.gate_up);
    x_TD = x_TD + norm(ops::linear(ops::glu(gate_up_T2F, activation), w.down), w.mlp_out_norm);
  }
  return norm(x_TD, weights.final_norm);
}

at::Tensor Decoder::logits(const Weights& weights, const at::Tensor& hidden_TD) const {
  const at::Tensor logits_TV = ops::linear(hidden_TD, weights.head);
  const double cap = config_.logit_softcap;
  return cap > 0 ? at::tanh(logits_TV / cap) * cap : logits_TV;
}

ops::TokenLogprobs Decoder::token_logprob(const Weights& weights, const at::Tensor& hidden_TD,
                                          const at::Tensor& targets_T, ops::TokenLogprobOptions options) const {
  options.softcap = config_.logit_softcap;
  return ops::token_logprob(hidden_TD, weights.head, targets_T, options);
}

}  // namespace thinktune::model
