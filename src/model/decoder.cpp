// Letters: T tokens of all sequences, flat, D width, N query heads, K key/value heads, H head size, F width of the MLP,
// R rotary dimensions of a head.
#include "thinktune/model/decoder.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "thinktune/core/error.h"
#include "thinktune/ops/before_backward.h"
#include "thinktune/ops/embedding.h"
#include "thinktune/ops/fused.h"
#include "thinktune/ops/linear.h"
#include "thinktune/ops/recomputed.h"

namespace thinktune::model {
namespace {

using Angles = Decoder::Angles;

Angles angles(const at::Tensor& positions_T, const at::Tensor& frequencies, double factor, const at::Tensor& like) {
  const at::ScalarType dtype = like.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor angle = at::outer(positions_T.to(at::kDouble), frequencies);
  const auto table = [&](const at::Tensor& t) { return (factor == 1.0 ? t : t * factor).to(dtype); };
  return {table(at::cos(angle)), table(at::sin(angle))};
}

// Where the family has no such norm: x itself.
at::Tensor norm(const ModelConfig& c, const at::Tensor& x_TD, const at::Tensor& weight_D) {
  if (!weight_D.defined()) return x_TD;
  return ops::rms_norm(x_TD, weight_D, {c.rms_norm_eps, c.norm_weight_plus_one, c.norm_round_before_weight});
}

ops::AddedNorm add_norm(const ModelConfig& c, const at::Tensor& x_TD, const at::Tensor& delta_TD,
                        const at::Tensor& weight_D) {
  if (weight_D.defined())
    return ops::add_rms_norm(x_TD, delta_TD, weight_D,
                             {c.rms_norm_eps, c.norm_weight_plus_one, c.norm_round_before_weight});
  const at::Tensor sum_TD = x_TD + delta_TD;
  return {sum_TD, sum_TD};
}

// [T, heads, H]
at::Tensor head_norm(const ModelConfig& c, const at::Tensor& x, int64_t heads, const at::Tensor& weight) {
  if (c.qk_norm == QkNorm::None) return x.view({x.size(0), heads, c.head_dim});
  const int64_t width = c.qk_norm == QkNorm::Head ? c.head_dim : heads * c.head_dim;
  return norm(c, x.reshape({-1, width}), weight).view({x.size(0), heads, c.head_dim});
}

// The first R dimensions of each head are turned, the others stay.
at::Tensor turn(const at::Tensor& x_TNH, const Angles& angles) {
  const int64_t R = 2 * angles.cos.size(1), H = x_TNH.size(2);
  if (R == H) return ops::rope(x_TNH, angles.cos, angles.sin);
  return at::cat({ops::rope(x_TNH.narrow(2, 0, R), angles.cos, angles.sin), x_TNH.narrow(2, R, H - R)}, 2);
}

at::Tensor frequency_tensor(const ModelConfig& config, const Rope& rope, at::Device device) {
  return at::tensor(rotary_frequencies(config, rope), at::TensorOptions().dtype(at::kDouble)).to(device);
}

}  // namespace

Decoder::Decoder(ModelConfig config, at::Device device) : config_(std::move(config)) {
  validate(config_, "model");
  frequencies_ = frequency_tensor(config_, config_.rope, device);
  local_frequencies_ = frequency_tensor(config_, config_.local_rope, device);
}

at::Tensor Decoder::embed(const Weights& weights, const at::Tensor& ids_T) const {
  const at::Tensor x_TD = ops::embedding(weights.embedding, ids_T);
  // The reference rounds the scale to the weights' dtype first. On the CPU: reading it elsewhere would wait for the
  // device.
  if (config_.embedding_scale != 1.0)
    return x_TD * at::scalar_tensor(config_.embedding_scale, x_TD.options().device(at::kCPU)).item();
  return x_TD;
}

Decoder::Positions Decoder::turned(const at::Tensor& positions_T, const at::Tensor& like) const {
  const ModelConfig& c = config_;
  const Angles everywhere = angles(positions_T, frequencies_, c.rope.attention_factor, like);
  if (c.local_rope == c.rope) return {everywhere, everywhere};
  return {everywhere, angles(positions_T, local_frequencies_, c.local_rope.attention_factor, like)};
}

at::Tensor Decoder::block(int64_t layer, const LayerWeights& w, const at::Tensor& x_TD, const Positions& positions,
                          Attention& attention) const {
  const ModelConfig& c = config_;
  const int64_t T = x_TD.size(0), N = c.num_heads, K = c.num_kv_heads, H = c.head_dim;
  const Angles& turn_by = window_of(c, layer) > 0 ? positions.in_windows : positions.everywhere;
  const auto activation = c.activation == MlpActivation::Silu ? ops::Activation::Silu : ops::Activation::GeluTanh;

  const at::Tensor qkv = ops::linear(norm(c, x_TD, w.attention_norm), w.qkv, w.qkv_bias);
  const std::vector<at::Tensor> parts = qkv.split_with_sizes({N * H, K * H, K * H}, 1);
  const at::Tensor q_TNH = turn(head_norm(c, parts[0], N, w.q_norm), turn_by);
  const at::Tensor k_TKH = turn(head_norm(c, parts[1], K, w.k_norm), turn_by);
  const at::Tensor v_TKH = parts[2].view({T, K, H});
  const at::Tensor attended = attention.attend(layer, q_TNH, k_TKH, v_TKH).reshape({T, N * H});
  const at::Tensor change_TD = norm(c, ops::linear(attended, w.output), w.attention_out_norm);
  const auto [sum_TD, mlp_input_TD] = add_norm(c, x_TD, change_TD, w.mlp_norm);
  const at::Tensor gate_up_T2F = ops::linear(mlp_input_TD, w.gate_up);
  return sum_TD + norm(c, ops::glu_linear(gate_up_T2F, activation, w.down), w.mlp_out_norm);
}

at::Tensor Decoder::loaded_block(int64_t layer, const LayerWeights& w, WeightLoader* loader, const at::Tensor& x_TD,
                                 const Positions& positions, Attention& attention) const {
  if (loader == nullptr) return block(layer, w, x_TD, positions, attention);
  loader->load(layer);
  return ops::before_backward(block(layer, w, x_TD, positions, attention), [loader, layer] { loader->load(layer); });
}

at::Tensor Decoder::forward(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                            Attention& attention) const {
  TT_CHECK(positions_T.size(0) == ids_T.size(0), "{} ids but {} positions", ids_T.size(0), positions_T.size(0));
  if (weights.loader != nullptr) weights.loader->begin_pass();
  const Positions positions = turned(positions_T, weights.embedding);
  at::Tensor x_TD = embed(weights, ids_T);
  for (int64_t layer = 0; layer < config_.num_layers; ++layer)
    x_TD = loaded_block(layer, weights.layers[static_cast<size_t>(layer)], weights.loader, x_TD, positions, attention);
  return norm(config_, x_TD, weights.final_norm);
}

at::Tensor Decoder::forward_checkpointed(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                                         const std::shared_ptr<Attention>& attention) const {
  TT_CHECK(positions_T.size(0) == ids_T.size(0), "{} ids but {} positions", ids_T.size(0), positions_T.size(0));
  if (weights.loader != nullptr) weights.loader->begin_pass();
  const Positions positions = turned(positions_T, weights.embedding);
  at::Tensor x_TD = embed(weights, ids_T);
  for (int64_t layer = 0; layer < config_.num_layers; ++layer)
    x_TD = ops::recomputed(
        x_TD, [this, layer, w = weights.layers[static_cast<size_t>(layer)], loader = weights.loader, positions,
               attention](const at::Tensor& x) { return loaded_block(layer, w, loader, x, positions, *attention); });
  return norm(config_, x_TD, weights.final_norm);
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
