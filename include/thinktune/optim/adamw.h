// AdamW (Loshchilov and Hutter 2019) on f32 master weights, and the clip of the gradient's global norm.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/core/options.h"

namespace thinktune::optim {

enum class LrKind { Constant, Linear, Cosine };
inline const core::Choices<LrKind> kLrNames = {
    {"constant", LrKind::Constant}, {"linear", LrKind::Linear}, {"cosine", LrKind::Cosine}};

struct OptimOptions {
  double lr = 1e-6;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  // decoupled, on every parameter, as the published run has it
  double max_grad_norm = 1.0;  // gradients are scaled down to this global norm; 0: no clip
  LrKind schedule = LrKind::Constant;
  int64_t warmup_updates = 0;  // learning rate rises linearly over them
  double min_lr_share = 0.0;   // where linear and cosine end, as a share of lr
};
void describe(core::Fields& fields, OptimOptions& options);
void validate(const OptimOptions& options);

// Learning rate of update `update` (0 the first) of `num_updates`. Warm-up: lr·(u + 1)/(warmup_updates + 1), update
// warmup_updates has the whole lr. Linear and cosine reach min_lr_share·lr one update after the last.
double learning_rate(const OptimOptions& options, int64_t update, int64_t num_updates);

// Parameter i has moments i. Parameters are contiguous f32 on one device, and are changed in place. One thread.
class AdamW {
 public:
  static constexpr int64_t kMaxUpdates = int64_t{1} << 24;  // f32 counts exactly up to here

  AdamW(std::vector<at::Tensor> parameters, const OptimOptions& options);

  // In place, LibTorch's fused step. gradients[i] has parameter i's shape and dtype.
  void step(const std::vector<at::Tensor>& gradients, double lr);

  int64_t num_updates() const { return num_updates_; }

  // State for a checkpoint: first and second moments (f32, live tensors) and the update count.
  const std::vector<at::Tensor>& first_moments() const { return first_moments_; }
  const std::vector<at::Tensor>& second_moments() const { return second_moments_; }
  void restore(int64_t num_updates);  // after the moments were written in place; 0 to kMaxUpdates

 private:
  OptimOptions options_;
  std::vector<at::Tensor> parameters_, first_moments_, second_moments_, steps_;
  int64_t num_updates_ = 0;
};

// Σ g² of all gradients in f64, [1]: on a GPU beside them and without waiting for it, else on the CPU. The order of the
// sum depends on the tensors' sizes alone. Ranks that share the gradients add theirs up.
at::Tensor sum_of_squares(const std::vector<at::Tensor>& gradients);

// Scales gradients in place to the norm max_norm if √sum_1 is above it (0: never) and finite. Returns √sum_1; waits for
// the device.
double scale_to_norm(const std::vector<at::Tensor>& gradients, const at::Tensor& sum_1, double max_norm);

// The global L2 norm; +inf or NaN if any entry is.
double global_norm(const std::vector<at::Tensor>& gradients);

// Scales in place if the norm is above max_norm (> 0). Returns the norm before. Gradients whose norm is not finite are
// left as they are: the caller stops, and says which tensor it was.
double clip_by_global_norm(const std::vector<at::Tensor>& gradients, double max_norm);

}  // namespace thinktune::optim
