// The ranks of a run as one trainer: who computes what, and how what was computed comes together. With one rank nothing
// is exchanged and nothing costs memory.
//
// Letters: R ranks, C numbers of one rank's share of a bucket.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "thinktune/comm/communicator.h"
#include "thinktune/comm/options.h"
#include "thinktune/optim/adamw.h"
#include "thinktune/train/batch.h"
#include "thinktune/train/policy.h"
#include "thinktune/train/sharded_weights.h"

namespace thinktune::train {

// Gradients, optimiser state and weights of all ranks.
//
// Parameters lie one behind the other in buckets, the last first, as the backward pass reaches them. Each bucket is
// exchanged as soon as its last gradient is there, while the backward pass goes on; at most two are on their way. Its
// sum over all micro-batches of all ranks stands
//   shard none        on every rank: all-reduce, once an update
//   shard optimizer   as R shares, one a rank: reduce-scatter, once an update
//   shard gradients   the same, once a micro-batch: a rank never holds more than its share and what is on its way
//   shard parameters  the same, the buckets being the blocks of ShardedWeights
// fixed_order: micro-batch k is rank k mod R's. After each round of R micro-batches every rank gets all R gradients of
// its share and adds them in order of k: the additions are those of one rank that computes all micro-batches.
//
// The optimiser works on parameters(): the policy's, or this rank's shares of them. An object is for one thread, but
// for the gradients that arrive.
class DataParallel {
 public:
  // Both must outlive the object. With shares the policy gives up its f32 master weights in bf16.
  DataParallel(Policy& policy, comm::Communicator& comm, const comm::CommOptions& options);
  // shard parameters: `weights` are the policy's, `f32_parts` this rank's parts of their blocks.
  DataParallel(Policy& policy, comm::Communicator& comm, const comm::CommOptions& options, ShardedWeights& weights,
               std::vector<at::Tensor> f32_parts);
  ~DataParallel();
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  void begin_update(const MiniBatch& mini);
  void end_micro_batch();  // after each backward pass of this rank
  void sum_gradients();    // returns when gradients() are the sums over all ranks

  bool shares() const { return exchanges() && options_.shard != comm::Shard::None; }

  // In the order of the optimiser.
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  std::vector<at::Tensor> gradients() const;

  // As optim::clip_by_global_norm, of all gradients; the same number on every rank.
  double clip_gradients(const optim::OptimOptions& options);
  // The name of a tensor whose gradient is not finite, on every rank; every rank must ask.
  std::string first_not_finite_gradient() const;
  // The name of a tensor that is not finite, of those numbers of the weights that this rank holds; it alone may ask.
  std::string first_not_finite_weight() const;

  // After an update or a restore: the weights that compute, on every rank, from parameters(). Gradients are let go.
  void publish_weights();

  // One tensor a parameter of the policy, in its order, from tensors like parameters(); whole on rank 0, and empty on
  // the others if there are shares. Every rank must ask.
  std::vector<at::Tensor> gather(const std::vector<at::Tensor>& tensors, const char* what) const;
  // The same one after the other, so that rank 0 holds a bucket of them at a time: each call gives the next one, of a
  // parameter of the policy. Every rank must make the same calls; `tensors` must outlive them.
  std::function<at::Tensor()> gather_one_by_one(const std::vector<at::Tensor>& tensors, const char* what) const;
  // The reverse: rank 0's whole ones into every rank's `tensors`.
  void scatter(const std::vector<at::Tensor>& whole, const std::vector<at::Tensor>& tensors, const char* what) const;
  // Empty tensors for gather's result or scatter's input, on the host; one a parameter.
  std::vector<at::Tensor> whole_like() const;

 private:
  struct Piece {
    size_t parameter = 0;
    int64_t begin = 0;  // in the bucket
  };
  struct Bucket {
    std::vector<Piece> pieces;
    int64_t share = 0;            // C: numbers of a rank, the padding included
    size_t num_ready = 0;         // gradients of the backward pass that is under way
    at::Tensor input_RC, output;  // of the exchange on its way
    comm::PendingPtr pending;
    at::Tensor sum_C;  // this rank's share of the sum
  };

  bool exchanges() const { return comm_.size() > 1; }
  bool every_round() const {
    return options_.fixed_order || options_.shard == comm::Shard::Gradients || weights_ != nullptr;
  }
  void make_buckets();
  void gradient_arrived(size_t parameter);
  void add_gradient(size_t parameter);
  at::Tensor flat(const Bucket& bucket, at::ScalarType dtype, const std::vector<at::Tensor>& tensors) const;
  void start_next();
  void start(Bucket& bucket);
  void finish(Bucket& bucket);
  void finish_round();
  void go_through_round();
  std::string name_of_not_finite(const std::vector<at::Tensor>& shares) const;

  Policy& policy_;
  comm::Communicator& comm_;
  comm::CommOptions options_;
  ShardedWeights* weights_ = nullptr;  // shard parameters
  std::vector<at::Tensor> parameters_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;  // by parameter
  size_t next_ = 0;                // the bucket that is exchanged next: all ranks keep to one order
  size_t num_finished_ = 0;        // buckets of this round whose exchange is over
  int64_t num_own_ = 0, num_done_ = 0, num_rounds_ = 0, num_micro_batches_ = 0, round_ = 0;
  std::vector<at::Tensor> sums_;  // by parameter: fixed_order, where nothing is exchanged
  bool exchanging_ = false;       // the gradients that arrive now complete buckets
};

}  // namespace thinktune::train
