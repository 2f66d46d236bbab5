// Letters: T packed tokens, M response tokens, D width.
#include "thinktune/train/policy.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <memory>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/model/family.h"
#include "thinktune/model/packed_attention.h"
#include "thinktune/ops/gradient_sum.h"

namespace thinktune::train {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(device);
}

// Packed tokens, and for every response token the row that predicts it. A response's last token predicts nothing: it is
// left out.
struct Packing {
  std::vector<model::PackedGroup> groups;
  std::vector<int64_t> ids_T, rows_M, targets_M;
};

Packing pack(const std::vector<rollout::TrainGroup>& groups) {
  Packing p;
  for (const rollout::TrainGroup& group : groups) {
    model::PackedGroup& packed = p.groups.emplace_back();
    packed.prompt_tokens = std::ssize(group.prompt_ids);
    p.ids_T.insert(p.ids_T.end(), group.prompt_ids.begin(), group.prompt_ids.end());
    const int64_t prompt_end = std::ssize(p.ids_T) - 1;
    for (const rollout::TrainSequence& sequence : group.sequences) {
      TT_CHECK(!sequence.ids.empty(), "a training sequence without a token");
      int64_t predictor = prompt_end;
      for (size_t i = 0; i < sequence.ids.size(); ++i) {
        p.rows_M.push_back(predictor);
        p.targets_M.push_back(sequence.ids[i]);
        if (i + 1 == sequence.ids.size()) break;
        predictor = std::ssize(p.ids_T);
        p.ids_T.push_back(sequence.ids[i]);
      }
      packed.response_tokens.push_back(std::ssize(sequence.ids) - 1);
    }
  }
  return p;
}

}  // namespace

ops::TokenLogprobs response_logprobs(const model::Decoder& decoder, const model::Weights& weights,
                                     const std::vector<rollout::TrainGroup>& groups,
                                     const ops::TokenLogprobOptions& options, Gradient gradient) {
  c10::AutoGradMode with_graph(gradient != Gradient::None);
  const Packing p = pack(groups);
  const auto attention = std::make_shared<model::PackedAttention>(decoder.config(), p.groups);
  const at::Device device = weights.embedding.device();
  const at::Tensor ids_T = index_tensor(p.ids_T, device), positions_T = model::packed_positions(p.groups).to(device);
  const at::Tensor hidden_TD = gradient == Gradient::Checkpointed
                                   ? decoder.forward_checkpointed(weights, ids_T, positions_T, attention)
                                   : decoder.forward(weights, ids_T, positions_T, *attention);
  return decoder.token_logprob(weights, hidden_TD.index_select(0, index_tensor(p.rows_M, device)),
                               index_tensor(p.targets_M, device), options);
}

Policy::Policy(const model::Decoder& decoder, model::Weights master, at::ScalarType compute)
    : decoder_(decoder), master_(std::move(master)), on_gradient_(std::make_shared<std::function<void(size_t)>>()) {
  TT_CHECK(master_.embedding.scalar_type() == at::kFloat, "master weights must be f32");
  compute_ = compute == at::kFloat ? model::map_weights(master_, [](const at::Tensor& t) { return t.detach(); })
                                   : model::cast(master_, compute);
  const bool own_master = compute != at::kFloat;
  differentiable_ = own_master ? model::map_weights(compute_, [](const at::Tensor& t) { return t.detach(); }) : master_;
  make_leaves();
}

Policy::Policy(const model::Decoder& decoder, model::Weights loaded)
    : decoder_(decoder), compute_(std::move(loaded)), on_gradient_(std::make_shared<std::function<void(size_t)>>()) {
  c10::NoGradGuard no_grad;
  // With versions of their own, as the loader's have: loading is no change of a weight that a graph keeps.
  differentiable_ = model::map_weights(compute_, [](const at::Tensor& t) { return t.variable_data(); });
  differentiable_.loader = compute_.loader;
  const auto without_values = [](const at::Tensor& t) {
    return at::zeros({}, t.options().dtype(at::kFloat)).expand(t.sizes()).variable_data();
  };
  master_ =
      compute_.embedding.scalar_type() == at::kFloat ? differentiable_ : model::map_weights(compute_, without_values);
  make_leaves();
}

// What backward passes arrive at: the master weights themselves in f32, else the copy that computes.
void Policy::make_leaves() {
  parameters_ = model::tensor_list(master_);
  leaves_ = model::tensor_list(differentiable_);
  for (size_t i = 0; i < leaves_.size(); ++i) {
    leaves_[i].requires_grad_(true);
    sums_.push_back(ops::sum_gradients(leaves_[i], [callback = on_gradient_, i] {
      if (*callback) (*callback)(i);
    }));
  }
}

void Policy::on_gradient(std::function<void(size_t)> callback) { *on_gradient_ = std::move(callback); }

void Policy::drop_master_weights() {
  if (differentiable_.embedding.is_same(master_.embedding)) return;
  c10::NoGradGuard no_grad;
  for (at::Tensor& parameter : parameters_)
    parameter.set_data(at::zeros({}, parameter.options()).expand(parameter.sizes()));
}

ops::TokenLogprobs Policy::logprobs(const std::vector<rollout::TrainGroup>& groups,
                                    const ops::TokenLogprobOptions& options, bool checkpointing) const {
  return response_logprobs(decoder_, differentiable_, groups, options,
                           checkpointing ? Gradient::Checkpointed : Gradient::Kept);
}

void Policy::zero_gradients() {
  for (at::Tensor& leaf : leaves_) leaf.mutable_grad() = at::Tensor();
}

std::vector<at::Tensor> Policy::gradients() const {
  std::vector<at::Tensor> gradients;
  for (size_t i = 0; i < leaves_.size(); ++i)
    gradients.push_back(leaves_[i].grad().defined() ? leaves_[i].grad() : at::zeros_like(parameters_[i]));
  return gradients;
}

at::Tensor Policy::take_gradient(size_t parameter) {
  return std::exchange(leaves_[parameter].mutable_grad(), at::Tensor());
}

void Policy::set_gradient(size_t parameter, at::Tensor sum) { leaves_[parameter].mutable_grad() = std::move(sum); }

std::string Policy::first_not_finite_gradient() const {
  return model::first_not_finite(decoder_.config(), model::map_weights(differentiable_, [](const at::Tensor& leaf) {
                                   return leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
                                 }));
}

// A sum is not finite if one of its terms is not, and takes one pass over them; should it overflow, the terms decide.
std::string Policy::first_not_finite_weight() const {
  c10::NoGradGuard no_grad;
  for (const at::Tensor& weight : model::tensor_list(compute_))
    if (!std::isfinite(weight.sum(at::kFloat).item<float>()))
      return model::first_not_finite(decoder_.config(), compute_);
  return "";
}

std::vector<std::string> Policy::parameter_names() const {
  std::vector<std::string> names;
  const model::Weights shapes = model::empty_weights(decoder_.config(), at::kFloat, at::kMeta);
  for (const at::Tensor& weight : model::tensor_list(shapes))
    for (const model::TensorName& name : model::tensor_names(decoder_.config(), shapes))
      if (name.view.is_alias_of(weight)) {
        names.push_back(name.hf);
        break;
      }
  return names;
}

void Policy::refresh_compute_weights() {
  c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> compute = model::tensor_list(compute_);
  for (size_t i = 0; i < compute.size(); ++i)
    if (!compute[i].is_alias_of(parameters_[i])) compute[i].copy_(parameters_[i]);
}

}  // namespace thinktune::train
