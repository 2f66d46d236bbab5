#include <ATen/ATen.h>

#include "thinktune/core/error.h"
#include "thinktune/model/decoder.h"
#include "thinktune/ops/linear.h"

namespace thinktune::model {

std::vector<at::Tensor> tensor_list(const Weights& weights) {
  std::vector<at::Tensor> tensors;
  map_weights(weights, [&](const at::Tensor& tensor) {
    tensors.push_back(tensor);
    return tensor;
  });
  return tensors;
}

Weights map_weights(const Weights& weights, const std::function<at::Tensor(const at::Tensor&)>& f) {
  const auto map = [&](const at::Tensor& tensor) { return tensor.defined() ? f(tensor) : at::Tensor(); };
  Weights mapped;
  mapped.embedding = f(weights.embedding);
  mapped.layers.reserve(weights.layers.size());
  for (const LayerWeights& w : weights.layers) {
    LayerWeights& m = mapped.layers.emplace_back();
    m.attention_norm = map(w.attention_norm);
    m.qkv = map(w.qkv);
    m.qkv_bias = map(w.qkv_bias);
    m.q_norm = map(w.q_norm);
    m.k_norm = map(w.k_norm);
    m.output = map(w.output);
    m.attention_out_norm = map(w.attention_out_norm);
    m.mlp_norm = map(w.mlp_norm);
    m.gate_up = map(w.gate_up);
    m.down = map(w.down);
    m.mlp_out_norm = map(w.mlp_out_norm);
  }
  mapped.final_norm = f(weights.final_norm);
  mapped.head = weights.head.is_same(weights.embedding) ? mapped.embedding : f(weights.head);
  return mapped;
}

Weights cast(const Weights& weights, at::ScalarType dtype) {
  return map_weights(weights, [&](const at::Tensor& tensor) { return tensor.to(dtype); });
}

Weights pack(const Weights& weights) {
  Weights packed = weights;
  for (LayerWeights& w : packed.layers)
    for (at::Tensor* matrix : {&w.qkv, &w.output, &w.gate_up, &w.down}) *matrix = ops::pack_weight(*matrix);
  packed.head = ops::pack_weight(weights.head);
  return packed;
}

Weights empty_weights(const ModelConfig& c, at::ScalarType dtype, at::Device device) {
  const auto make = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::TensorOptions().dtype(dtype).device(device));
  };
  const int64_t q_rows = c.num_heads * c.head_dim, kv_rows = c.num_kv_heads * c.head_dim;
  Weights weights;
  weights.embedding = make({c.vocab_size, c.hidden_size});
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    LayerWeights& w = weights.layers.emplace_back();
    w.qkv = make({q_rows + 2 * kv_rows, c.hidden_size});
    w.output = make({c.hidden_size, q_rows});
    w.gate_up = make({2 * c.intermediate_size, c.hidden_size});
    w.down = make({c.hidden_size, c.intermediate_size});
    if (c.qkv_bias) w.qkv_bias = make({q_rows + 2 * kv_rows});
    if (c.qk_norm != QkNorm::None) {
      w.q_norm = make({c.qk_norm == QkNorm::Head ? c.head_dim : q_rows});
      w.k_norm = make({c.qk_norm == QkNorm::Head ? c.head_dim : kv_rows});
    }
    if (c.norm_placement != NormPlacement::After) {
      w.attention_norm = make({c.hidden_size});
      w.mlp_norm = make({c.hidden_size});
    }
    if (c.norm_placement != NormPlacement::Before) {
      w.attention_out_norm = make({c.hidden_size});
      w.mlp_out_norm = make({c.hidden_size});
    }
  }
  weights.final_norm = make({c.hidden_size});
  weights.head = c.tie_word_embeddings ? weights.embedding : make({c.vocab_size, c.hidden_size});
  return weights;
}

int64_t num_parameters(const ModelConfig& config) {
  int64_t count = 0;
  for (const at::Tensor& tensor : tensor_list(empty_weights(config, at::kFloat, at::kMeta))) count += tensor.numel();
  return count;
}

}  // namespace thinktune::model
