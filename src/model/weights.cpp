#include <ATen/ATen.h>

#include "thinktune/core/error.h"
#include "thinktune/model/decoder.h"

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
  Weights mapped;
  mapped.embedding = f(weights.embedding);
  mapped.layers.reserve(weights.layers.size());
  for (const LayerWeights& w : weights.layers) {
    LayerWeights& m = mapped.layers.emplace_back();
    m.input_norm = f(w.input_norm);
    m.qkv = f(w.qkv);
    m.output = f(w.output);
    m.post_norm = f(w.post_norm);
    m.gate_up = f(w.gate_up);
    m.down = f(w.down);
  }
  mapped.final_norm = f(weights.final_norm);
  mapped.head = weights.head.is_same(weights.embedding) ? mapped.embedding : f(weights.head);
  return mapped;
}

Weights cast(const Weights& weights, at::ScalarType dtype) {
  return map_weights(weights, [&](const at::Tensor& tensor) { return tensor.to(dtype); });
}

Weights empty_weights(const ModelConfig& c, at::ScalarType dtype) {
  const auto make = [&](at::IntArrayRef shape) { return at::empty(shape, dtype); };
  Weights weights;
  weights.embedding = make({c.vocab_size, c.hidden_size});
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    LayerWeights& w = weights.layers.emplace_back();
    w.input_norm = make({c.hidden_size});
    w.qkv = make({(c.num_heads + 2 * c.num_kv_heads) * c.head_dim, c.hidden_size});
    w.output = make({c.hidden_size, c.num_heads * c.head_dim});
    w.post_norm = make({c.hidden_size});
    w.gate_up = make({2 * c.intermediate_size, c.hidden_size});
    w.down = make({c.hidden_size, c.intermediate_size});
  }
  weights.final_norm = make({c.hidden_size});
  weights.head = c.tie_word_embeddings ? weights.embedding : make({c.vocab_size, c.hidden_size});
  return weights;
}

}  // namespace thinktune::model
