// The decoder: one forward pass that serves training, prefill and decoding. What differs between the three is
// attention, so attention is handed in.
//
// Letters: T tokens of all sequences, flat, D width, N query heads, K key/value heads, H head size, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "thinktune/model/config.h"

namespace thinktune::model {

struct LayerWeights {
  at::Tensor input_norm;  // [D]
  at::Tensor qkv;         // [(N + 2K)·H, D]: query, key and value projections, rows one after the other
  at::Tensor output;      // [D, N·H]
  at::Tensor post_norm;   // [D]
  at::Tensor gate_up;     // [2F, D]: gate, then up
  at::Tensor down;        // [D, F]
};

// Tensors of one dtype on one device. Copies share storage.
struct Weights {
  at::Tensor embedding;  // [V, D]
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // [D]
  at::Tensor head;        // [V, D]; the embedding itself if the model ties them
};

// Every distinct tensor once, in a fixed order. A tied head does not appear.
std::vector<at::Tensor> tensor_list(const Weights& weights);

// Weights of the same structure from f(tensor), f called once for each distinct tensor in the order of tensor_list.
Weights map_weights(const Weights& weights, const std::function<at::Tensor(const at::Tensor&)>& f);

// A copy in another dtype (the same tensors where it is theirs already). Differentiable with respect to `weights`.
Weights cast(const Weights& weights, at::ScalarType dtype);

// Uninitialised tensors of the config's shapes.
Weights empty_weights(const ModelConfig& config, at::ScalarType dtype);

// How a layer's tokens attend. Called once a layer, in order of the layers.
class Attention {
 public:
  virtual ~Attention() = default;
  // q_TNH and k_TKH already carry their positions. Returns [T, N, H].
  virtual at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                            const at::Tensor& v_TKH) = 0;
};

class Decoder {
 public:
  explicit Decoder(ModelConfig config);

  const ModelConfig& config() const { return config_; }

  // Hidden states after the final norm, [T, D], in the weights' dtype. ids_T and positions_T: int64; positions are
  // counted within a sequence from 0. Lengths are the caller's matter: a position beyond max_position is computed like
  // any other.
  at::Tensor forward(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                     Attention& attention) const;

  // [T, V], in the weights' dtype.
  at::Tensor logits(const Weights& weights, const at::Tensor& hidden_TD) const;

 private:
  ModelConfig config_;
  at::Tensor inverse_frequencies_;  // [H/2], f64: the rotary angle per position
};

}  // namespace thinktune::model
