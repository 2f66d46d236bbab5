#include "thinktune/train/data_parallel.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"

namespace thinktune::train {
namespace {

// Shares end at whole vectors of every instruction set, so that no element is computed by a vector here and alone
// there.
constexpr int64_t kAlignment = 64;

}  // namespace

DataParallel::DataParallel(Policy& policy, comm::Communicator& comm, const comm::CommOptions& options)
    : policy_(policy), comm_(comm), options_(options), parameters_(policy.parameters()) {
  if (!exchanges()) {
    if (options_.fixed_order) policy_.on_gradient([this](size_t parameter) { add_gradient(parameter); });
    return;
  }
  make_buckets();
  policy_.on_gradient([this](size_t parameter) { gradient_arrived(parameter); });
  if (!shares()) return;
  c10::NoGradGuard no_grad;
  parameters_.clear();
  for (const Bucket& bucket : buckets_)
    parameters_.push_back(
        flat(bucket, at::kFloat, policy_.parameters()).narrow(0, comm_.rank() * bucket.share, bucket.share).clone());
  policy_.drop_master_weights();
}

DataParallel::DataParallel(Policy& policy, comm::Communicator& comm, const comm::CommOptions& options,
                           ShardedWeights& weights, std::vector<at::Tensor> f32_parts)
    : policy_(policy), comm_(comm), options_(options), weights_(&weights) {
  TT_CHECK(shares() && options.shard == comm::Shard::Parameters, "sharded weights without shares");
  bucket_of_.resize(policy_.parameters().size());
  // As the backward pass reaches them: the last layer first, embedding and head at the very end.
  const int64_t num_layers = weights.num_blocks() - 1;
  for (int64_t i = 0; i <= num_layers; ++i) {
    const int64_t block = i < num_layers ? num_layers - 1 - i : num_layers;
    Bucket& bucket = buckets_.emplace_back();
    bucket.share = weights.part_size(block);
    for (const ShardedWeights::Piece& piece : weights.pieces(block)) {
      bucket.pieces.push_back({piece.tensor, piece.begin});
      bucket_of_[piece.tensor] = static_cast<size_t>(i);
    }
    parameters_.push_back(std::move(f32_parts[static_cast<size_t>(block)]));
  }
  policy_.on_gradient([this](size_t parameter) { gradient_arrived(parameter); });
}

DataParallel::~DataParallel() { policy_.on_gradient(nullptr); }

void DataParallel::make_buckets() {
  const std::vector<at::Tensor>& parameters = policy_.parameters();
  const int64_t limit = (options_.bucket_mib << 20) / 4;
  bucket_of_.resize(parameters.size());
  int64_t size = 0;
  const auto close = [&] {
    const int64_t unit = comm_.size() * kAlignment;
    if (!buckets_.empty()) buckets_.back().share = (size + unit - 1) / unit * kAlignment;
  };
  for (size_t i = parameters.size(); i-- > 0;) {
    if (buckets_.empty() || size + parameters[i].numel() > limit) {
      close();
      buckets_.emplace_back();
      size = 0;
    }
    buckets_.back().pieces.push_back({i, size});
    bucket_of_[i] = buckets_.size() - 1;
    size += parameters[i].numel();
  }
  close();
}

at::Tensor DataParallel::flat(const Bucket& bucket, at::ScalarType dtype,
                              const std::vector<at::Tensor>& tensors) const {
  c10::NoGradGuard no_grad;
  const at::Tensor flat =
      at::zeros({comm_.size() * bucket.share}, policy_.parameters()[0].options().dtype(dtype).requires_grad(false));
  for (const Piece& piece : bucket.pieces) {
    const at::Tensor& tensor = tensors[piece.parameter];
    if (tensor.defined()) flat.narrow(0, piece.begin, tensor.numel()).copy_(tensor.detach().reshape({-1}));
  }
  return flat;
}

void DataParallel::begin_update(const MiniBatch& mini) {
  policy_.zero_gradients();
  sums_.assign(policy_.parameters().size(), {});
  num_own_ = std::ssize(mini.micro_batches);
  num_micro_batches_ = mini.num_micro_batches;
  num_rounds_ = every_round() ? mini.num_rounds : 1;
  num_done_ = round_ = 0;
  next_ = num_finished_ = 0;
  for (Bucket& bucket : buckets_) {
    bucket.sum_C = at::Tensor();
    bucket.num_ready = 0;
  }
  exchanging_ = every_round() || num_own_ == 1;
  if (weights_ != nullptr) weights_->begin_update();
}

// Called from the backward pass.
void DataParallel::gradient_arrived(size_t parameter) {
  if (!exchanging_) return;
  ++buckets_[bucket_of_[parameter]].num_ready;
  while (next_ < buckets_.size() && buckets_[next_].num_ready == buckets_[next_].pieces.size()) start_next();
}

// Called from the backward pass, which adds gradients part by part to what the policy has. Here that is one
// micro-batch's alone, and whole gradients are added to those before, as many ranks' are.
void DataParallel::add_gradient(size_t parameter) {
  c10::NoGradGuard no_grad;
  const at::Tensor gradient = policy_.take_gradient(parameter);
  at::Tensor& sum = sums_[parameter];
  if (!sum.defined())
    sum = gradient;
  else if (gradient.defined())
    sum.add_(gradient);
}

// Gradients that could wait for the end of the pass do not: as many bytes as all parameters would be on their way.
void DataParallel::start_next() {
  if (next_ >= 2) finish(buckets_[num_finished_++]);
  start(buckets_[next_++]);
}

// Takes the bucket's gradients from the policy. A rank that has computed nothing sends zeros.
void DataParallel::start(Bucket& bucket) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients(policy_.parameters().size());
  for (const Piece& piece : bucket.pieces) gradients[piece.parameter] = policy_.take_gradient(piece.parameter);
  const at::Tensor& first = gradients[bucket.pieces[0].parameter];
  const bool fills = bucket.pieces.size() == 1 && first.defined() && first.is_contiguous() &&
                     first.numel() == comm_.size() * bucket.share;
  bucket.input_RC = fills ? first.view({-1}) : flat(bucket, at::kFloat, gradients);
  gradients.clear();
  if (options_.fixed_order) {
    bucket.output = at::empty_like(bucket.input_RC);
    bucket.pending = comm_.start_all_to_all(bucket.output, bucket.input_RC, "the gradients");
  } else if (shares()) {
    bucket.output = at::empty({bucket.share}, bucket.input_RC.options());
    bucket.pending = comm_.start_reduce_scatter(bucket.output, bucket.input_RC, "the gradients");
  } else {
    bucket.pending = comm_.start_all_reduce(bucket.input_RC, "the gradients");
  }
}

void DataParallel::finish(Bucket& bucket) {
  c10::NoGradGuard no_grad;
  bucket.pending->wait();
  bucket.pending.reset();
  const auto add = [&](const at::Tensor& part_C) {
    if (bucket.sum_C.defined())
      bucket.sum_C.add_(part_C);
    else
      bucket.sum_C = part_C.clone();
  };
  if (options_.fixed_order) {
    for (int64_t r = 0; r < comm_.size(); ++r)
      if (round_ * comm_.size() + r < num_micro_batches_) add(bucket.output.narrow(0, r * bucket.share, bucket.share));
  } else if (shares()) {
    add(bucket.output);
  } else {
    bucket.output = bucket.input_RC;
    return;  // the whole sum
  }
  bucket.input_RC = bucket.output = at::Tensor();
}

void DataParallel::finish_round() {
  while (next_ < buckets_.size()) start_next();
  while (num_finished_ < buckets_.size()) finish(buckets_[num_finished_++]);
  ++round_;
  next_ = num_finished_ = 0;
  for (Bucket& bucket : buckets_) bucket.num_ready = 0;
}

// What a rank with a micro-batch does in a round, in its order, without computing.
void DataParallel::go_through_round() {
  const int64_t num_layers = weights_->num_blocks() - 1;
  weights_->begin_pass();
  for (int64_t layer = 0; layer < num_layers; ++layer) weights_->load(layer);
  for (int64_t layer = num_layers - 1; layer >= 0; --layer) {
    weights_->load(layer);
    start_next();
  }
}

void DataParallel::end_micro_batch() {
  if (!exchanges()) return;
  ++num_done_;
  if (every_round()) finish_round();
  exchanging_ = every_round() || num_done_ + 1 == num_own_;
}

void DataParallel::sum_gradients() {
  if (!exchanges()) {
    for (size_t i = 0; i < sums_.size(); ++i)
      if (sums_[i].defined()) policy_.set_gradient(i, std::exchange(sums_[i], at::Tensor()));
    return;
  }
  const ops::ProfilerRange range("rest of the exchange");
  while (round_ < num_rounds_) {
    if (weights_ != nullptr) go_through_round();
    finish_round();
  }
  exchanging_ = false;
  if (weights_ != nullptr) weights_->end_update();
  if (shares()) return;
  c10::NoGradGuard no_grad;
  for (Bucket& bucket : buckets_) {
    at::Tensor sum = std::exchange(bucket.output, at::Tensor());
    if (options_.fixed_order) {
      sum = at::empty({comm_.size() * bucket.share}, bucket.sum_C.options());
      comm_.start_all_gather(sum, bucket.sum_C, "the gradients")->wait();
    }
    bucket.input_RC = bucket.sum_C = at::Tensor();
    for (const Piece& piece : bucket.pieces) {
      const at::Tensor& shape = policy_.parameters()[piece.parameter];
      policy_.set_gradient(piece.parameter, sum.narrow(0, piece.begin, shape.numel()).view(shape.sizes()));
    }
  }
}

std::vector<at::Tensor> DataParallel::gradients() const {
  if (!shares()) return policy_.gradients();
  std::vector<at::Tensor> gradients;
  for (const Bucket& bucket : buckets_) gradients.push_back(bucket.sum_C);
  return gradients;
}

double DataParallel::clip_gradients(const optim::OptimOptions& options) {
  const std::vector<at::Tensor> gradients = this->gradients();
  const at::Tensor sum_1 = optim::sum_of_squares(gradients);
  if (shares()) comm_.all_reduce(sum_1, "the gradient's norm");
  return optim::scale_to_norm(gradients, sum_1, options.max_grad_norm);
}

std::string DataParallel::first_not_finite_gradient() const {
  if (!shares()) return policy_.first_not_finite_gradient();
  std::vector<at::Tensor> sums;
  for (const Bucket& bucket : buckets_) sums.push_back(bucket.sum_C);
  for (const std::string& name : comm_.all_gather_bytes(name_of_not_finite(sums), "the names of gradients"))
    if (!name.empty()) return name;
  return "";
}

std::string DataParallel::first_not_finite_weight() const {
  return weights_ == nullptr ? policy_.first_not_finite_weight() : name_of_not_finite(parameters_);
}

std::string DataParallel::name_of_not_finite(const std::vector<at::Tensor>& shares) const {
  const std::vector<std::string> names = policy_.parameter_names();
  std::string last;
  for (size_t b = 0; b < buckets_.size(); ++b)
    for (const Piece& piece : buckets_[b].pieces) {
      const int64_t share = buckets_[b].share, first = comm_.rank() * share;
      const int64_t begin = std::max(piece.begin - first, int64_t{0});
      const int64_t end = std::min(piece.begin + policy_.parameters()[piece.parameter].numel() - first, share);
      if (begin < end && !at::isfinite(shares[b].narrow(0, begin, end - begin)).all().item<bool>())
        last = names[piece.parameter];
    }
  return last;
}

void DataParallel::publish_weights() {
  const ops::ProfilerRange range("publish weights");
  policy_.zero_gradients();
  for (Bucket& bucket : buckets_) bucket.sum_C = at::Tensor();
  if (!shares()) {
    policy_.refresh_compute_weights();
    return;
  }
  if (weights_ != nullptr) {
    std::vector<at::Tensor> parts(parameters_.rbegin(), parameters_.rend());  // by block: layers, then the rest
    std::rotate(parts.begin(), parts.begin() + 1, parts.end());
    weights_->set_parts(parts);
    return;
  }
  c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> compute = model::tensor_list(policy_.compute_weights());
  for (size_t b = 0; b < buckets_.size(); ++b) {
    const Bucket& bucket = buckets_[b];
    const at::Tensor own_C = parameters_[b].to(compute[0].scalar_type());
    const at::Tensor all = at::empty({comm_.size() * bucket.share}, own_C.options());
    comm_.start_all_gather(all, own_C, "the weights")->wait();
    for (const Piece& piece : bucket.pieces) {
      at::Tensor weight = compute[piece.parameter].detach();
      weight.copy_(all.narrow(0, piece.begin, weight.numel()).view(weight.sizes()));
    }
  }
}

std::vector<at::Tensor> DataParallel::whole_like() const {
  std::vector<at::Tensor> whole;
  for (const at::Tensor& parameter : policy_.parameters())
    whole.push_back(at::empty(parameter.sizes(), at::TensorOptions().dtype(at::kFloat)));
  return whole;
}

std::vector<at::Tensor> DataParallel::gather(const std::vector<at::Tensor>& tensors, const char* what) const {
  if (!shares()) return tensors;
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> whole;
  if (comm_.is_first()) whole = whole_like();
  for (size_t b = 0; b < buckets_.size(); ++b) {
    const at::Tensor all = at::empty({comm_.size() * buckets_[b].share}, tensors[b].options());
    comm_.start_all_gather(all, tensors[b].detach(), what)->wait();
    if (!comm_.is_first()) continue;
    for (const Piece& piece : buckets_[b].pieces) {
      at::Tensor& tensor = whole[piece.parameter];
      tensor.copy_(all.narrow(0, piece.begin, tensor.numel()).view(tensor.sizes()));
    }
  }
  return whole;
}

std::function<at::Tensor()> DataParallel::gather_one_by_one(const std::vector<at::Tensor>& tensors,
                                                            const char* what) const {
  TT_CHECK(shares(), "{}: every rank has them whole", what);
  return [this, &tensors, what, next = size_t{0}, there = buckets_.size(), all = at::Tensor()]() mutable {
    const size_t parameter = next++, b = bucket_of_[parameter];
    const Bucket& bucket = buckets_[b];
    if (b != there) {
      all = at::Tensor();  // the one before goes first
      all = at::empty({comm_.size() * bucket.share}, tensors[b].options());
      comm_.start_all_gather(all, tensors[b].detach(), what)->wait();
      there = b;
    }
    const at::Tensor& shape = policy_.parameters()[parameter];
    const auto piece = std::find_if(bucket.pieces.begin(), bucket.pieces.end(),
                                    [&](const Piece& p) { return p.parameter == parameter; });
    return comm_.is_first() ? all.narrow(0, piece->begin, shape.numel()).view(shape.sizes()).cpu() : at::Tensor();
  };
}

void DataParallel::scatter(const std::vector<at::Tensor>& whole, const std::vector<at::Tensor>& tensors,
                           const char* what) const {
  if (!exchanges()) return;
  c10::NoGradGuard no_grad;
  if (!shares()) {
    for (const at::Tensor& tensor : tensors) comm_.broadcast(tensor.detach(), 0, what);
    return;
  }
  for (size_t b = 0; b < buckets_.size(); ++b) {
    const Bucket& bucket = buckets_[b];
    const at::Tensor all = comm_.is_first() ? flat(bucket, at::kFloat, whole)
                                            : at::empty({comm_.size() * bucket.share}, tensors[b].options());
    comm_.broadcast(all, 0, what);
    tensors[b].detach().copy_(all.narrow(0, comm_.rank() * bucket.share, bucket.share));
  }
}

}  // namespace thinktune::train
