// The two passes over a chunk of logits that token_logprob is made of, on the CPU by kernels and elsewhere by LibTorch
// formulas.
//
// Letters: C rows of the chunk, V vocabulary (row_gradients: a part of it).
#pragma once

#include <ATen/core/Tensor.h>

#include "thinktune/ops/token_logprob.h"

namespace thinktune::ops {

struct LogitRows {
  at::Tensor logits_CV;  // f32, bf16 or f64, contiguous
  at::Tensor targets_C;  // int64
  at::Tensor logprob_C;  // f32 or f64, as entropy and threshold
  at::Tensor entropy_C;
  at::Tensor threshold_C;       // logits below it are dropped, but for the target's
  at::Tensor log_normalizer_C;  // f64; log-probability of a kept token = logit / temperature − it
};

// Reads logits and targets, writes the other four.
void row_statistics(const LogitRows& rows, const LogprobTransform& transform);
void row_statistics_cpu(const LogitRows& rows, const LogprobTransform& transform);
void row_statistics_composite(const LogitRows& rows, const LogprobTransform& transform);

// Replaces the logits by the gradient with respect to them, given those of logprob_C and entropy_C (f64; zero where
// they take no part). logprob_C is not read. Targets count from the first of the logits given; one outside them is
// another part's.
void row_gradients(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                   const at::Tensor& grad_entropy_C);
void row_gradients_cpu(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                       const at::Tensor& grad_entropy_C);
void row_gradients_composite(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                             const at::Tensor& grad_entropy_C);

}  // namespace thinktune::ops
