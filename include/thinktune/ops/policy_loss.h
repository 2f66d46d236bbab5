// The policy loss of algo/loss.h and its gradient in one pass, for GPUs.
//
// Letters: M response tokens, flat.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cuda/policy_loss.h"

namespace thinktune::ops {

// All [M], f32 but for the flags, on one device.
struct PolicyLossArrays {
  at::Tensor logprobs_M;  // with gradient
  at::Tensor old_logprobs_M;
  at::Tensor advantages_M;
  at::Tensor guided_M;              // bool
  at::Tensor reference_logprobs_M;  // may be undefined where kl_coefficient is 0
  at::Tensor entropy_M;             // with gradient; may be undefined where entropy_coefficient is 0
  at::Tensor weights_M;
};

// As algo::LossParts.
struct PolicyLossResult {
  at::Tensor loss;  // f32 scalar, with gradient; summed in f64 in an order that M alone decides
  at::Tensor token_loss_M, ratio_M, gamma_M, shaped_M;
  at::Tensor shaped_used_M, clipped_M, dual_clipped_M;  // bool
  at::Tensor kl_M;                                      // undefined without reference_logprobs_M
};

// Whether log-probabilities are where, and of the dtype for which, the kernel is: f32 on a GPU.
bool has_policy_loss(const at::Tensor& logprobs_M);

// Where has_policy_loss. Throws Error{Internal} for arrays that are not alike.
PolicyLossResult policy_loss(const PolicyLossArrays& arrays, const kernels::cuda::PolicyLossOptions& options);

}  // namespace thinktune::ops
