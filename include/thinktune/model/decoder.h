// The decoder: one forward pass that serves training, prefill and decoding, for every family. What differs between the
// three is attention, so attention is handed in; what differs between families are a few fields of the config.
//
// Letters: T tokens of all sequences, flat, D width, N query heads, K key/value heads, H head size, F width of the MLP,
// V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "thinktune/model/config.h"
#include "thinktune/ops/token_logprob.h"

namespace thinktune::model {

// A family leaves undefined what it does not have.
struct LayerWeights {
  at::Tensor attention_norm;      // [D], before attention
  at::Tensor qkv;                 // [(N + 2K)·H, D]: query, key and value projections, rows one after the other
  at::Tensor qkv_bias;            // [(N + 2K)·H]
  at::Tensor q_norm;              // [H], or [N·H] (QkNorm)
  at::Tensor k_norm;              // [H], or [K·H]
  at::Tensor output;              // [D, N·H]
  at::Tensor attention_out_norm;  // [D], of attention's output
  at::Tensor mlp_norm;            // [D], before the MLP
  at::Tensor gate_up;             // [2F, D]: gate, then up
  at::Tensor down;                // [D, F]
  at::Tensor mlp_out_norm;        // [D], of the MLP's output
};

// Weights that are not always there, because the ranks of a run hold a part each: the decoder says which it is about to
// use. Backward passes say so too. Every rank that shares the weights must go through the same passes.
class WeightLoader {
 public:
  virtual ~WeightLoader() = default;
  virtual void begin_pass() = 0;           // and embedding, final norm and head, until they are given up
  virtual void load(int64_t layer) = 0;    // this layer's, until another one's are loaded
  virtual bool holds_all() const = 0;      // for now all weights are there, and stay where they are
  virtual int64_t generation() const = 0;  // another number: they lie elsewhere now
};

// Tensors of one dtype on one device. Copies share storage.
struct Weights {
  at::Tensor embedding;  // [V, D]
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;           // [D]
  at::Tensor head;                 // [V, D]; the embedding itself if the model ties them
  WeightLoader* loader = nullptr;  // null: all are there. map_weights and cast leave it out
};

// Every distinct tensor once, in a fixed order. A tied head does not appear.
std::vector<at::Tensor> tensor_list(const Weights& weights);

// Weights of the same structure from f(tensor), f called once for each distinct tensor in the order of tensor_list.
Weights map_weights(const Weights& weights, const std::function<at::Tensor(const at::Tensor&)>& f);

// A copy in another dtype (the same tensors where it is theirs already). Differentiable with respect to `weights`.
Weights cast(const Weights& weights, at::ScalarType dtype);

// The same weights with their matrices packed (ops/linear.h), for passes without gradients; the embedding and vectors
// are shared. Where nothing is to be packed, all are.
Weights pack(const Weights& weights);

// Uninitialised tensors of the config's shapes. On the device Meta they have shapes and no memory.
Weights empty_weights(const ModelConfig& config, at::ScalarType dtype, at::Device device = at::kCPU);

// How a layer's tokens attend: with which of the config's scale, soft cap and windows. Called once a layer, in order of
// the layers.
class Attention {
 public:
  virtual ~Attention() = default;
  // q_TNH and k_TKH already carry their positions. Returns [T, N, H].
  virtual at::Tensor attend(int64_t layer, const at::Tensor& q_TNH, const at::Tensor& k_TKH,
                            const at::Tensor& v_TKH) = 0;
};

class Decoder {
 public:
  // For weights, ids and positions on `device`.
  explicit Decoder(ModelConfig config, at::Device device = at::kCPU);

  const ModelConfig& config() const { return config_; }

  // Hidden states after the final norm, [T, D], in the weights' dtype. ids_T and positions_T: int64; positions are
  // counted within a sequence from 0. Lengths are the caller's matter: a position beyond max_tokens(config) is computed
  // like any other.
  at::Tensor forward(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                     Attention& attention) const;

  // The same numbers; of each block only the input is kept for backward, which computes the block again. Gradients of
  // the weights arrive in their .grad. The decoder must live until then.
  at::Tensor forward_checkpointed(const Weights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T,
                                  const std::shared_ptr<Attention>& attention) const;

  // [T, V], in the weights' dtype.
  at::Tensor logits(const Weights& weights, const at::Tensor& hidden_TD) const;

  // Of each target behind its hidden state, without holding [T, V]; options.softcap is the config's.
  ops::TokenLogprobs token_logprob(const Weights& weights, const at::Tensor& hidden_TD, const at::Tensor& targets_T,
                                   ops::TokenLogprobOptions options) const;

  // Cosines and sines of all tokens' angles, [T, rotary_dim / 2].
  struct Angles {
    at::Tensor cos, sin;
  };

 private:
  struct Positions {
    Angles everywhere, in_windows;  // of layers without and with a window
  };

  at::Tensor embed(const Weights& weights, const at::Tensor& ids_T) const;
  Positions turned(const at::Tensor& positions_T, const at::Tensor& like) const;
  at::Tensor loaded_block(int64_t layer, const LayerWeights& w, WeightLoader* loader, const at::Tensor& x_TD,
                          const Positions& positions, Attention& attention) const;
  at::Tensor block(int64_t layer, const LayerWeights& w, const at::Tensor& x_TD, const Positions& positions,
                   Attention& attention) const;

  ModelConfig config_;
  at::Tensor frequencies_, local_frequencies_;  // [rotary_dim / 2], f64: the angle per position
};

}  // namespace thinktune::model
