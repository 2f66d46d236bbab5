// The model that is trained: f32 master weights, the copy that computes, and its log-probabilities of packed sequences.
//
// Letters: M response tokens of the sequences given, flat, in order of groups and sequences.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "thinktune/model/decoder.h"
#include "thinktune/ops/token_logprob.h"
#include "thinktune/rollout/types.h"

namespace thinktune::train {

// Whether a result can be differentiated with respect to the weights, and what is kept for that of each block of the
// model: all that its backward reads, or only its input.
enum class Gradient { None, Kept, Checkpointed };

// Log-probabilities of all response tokens of `groups` under `weights`, on their device. The responses of a group share
// their prompt's pass.
ops::TokenLogprobs response_logprobs(const model::Decoder& decoder, const model::Weights& weights,
                                     const std::vector<rollout::TrainGroup>& groups,
                                     const ops::TokenLogprobOptions& options, Gradient gradient);

class Policy {
 public:
  // Takes the f32 weights as its master weights. `compute` is the dtype of every pass, f32 or bf16.
  Policy(const model::Decoder& decoder, model::Weights master, at::ScalarType compute);
  // Of weights with a loader, in the dtype of every pass; their f32 master weights are not the policy's. parameters()
  // have shapes and gradients, and no values.
  Policy(const model::Decoder& decoder, model::Weights loaded);

  const model::Decoder& decoder() const { return decoder_; }
  const model::Weights& compute_weights() const {
    return compute_;
  }  // what the sampler reads; same storage for the whole run
  // The leaves of logprobs(): the same storage (f32: the master weights). Gradients are summed at them, in f32
  // (ops/gradient_sum.h).
  const model::Weights& differentiable_weights() const { return differentiable_; }
  const std::vector<at::Tensor>& parameters() const {
    return parameters_;
  }  // master weights, in the order of model::tensor_list

  // With gradient towards the leaves.
  ops::TokenLogprobs logprobs(const std::vector<rollout::TrainGroup>& groups, const ops::TokenLogprobOptions& options,
                              bool checkpointing = false) const;

  // Called in the backward pass with the number of each parameter whose gradient of that pass has arrived; null: nobody
  // is.
  void on_gradient(std::function<void(size_t parameter)> callback);

  // Frees the master weights where they are not what computes; parameters() have shapes and gradients then, and no
  // values.
  void drop_master_weights();

  void zero_gradients();
  std::vector<at::Tensor> gradients() const;   // f32, zeros where nothing arrived
  at::Tensor take_gradient(size_t parameter);  // undefined where nothing arrived; as after zero_gradients() then
  void set_gradient(size_t parameter, at::Tensor sum);

  // The Hugging Face name of the first tensor whose gradient has a NaN or an infinity; empty if all are finite.
  std::string first_not_finite_gradient() const;
  std::string first_not_finite_weight() const;  // the same for the weights that compute

  std::vector<std::string> parameter_names() const;  // Hugging Face names; of fused tensors that of the first part

  // After an update or a restore: writes the master weights into the copy that computes.
  void refresh_compute_weights();

 private:
  void make_leaves();

  const model::Decoder& decoder_;
  model::Weights master_;
  model::Weights compute_;
  model::Weights differentiable_;
  std::vector<at::Tensor> parameters_, leaves_;
  std::shared_ptr<std::function<void(size_t)>> on_gradient_;
  std::vector<std::shared_ptr<void>> sums_;  // one a leaf
};

}  // namespace thinktune::train
