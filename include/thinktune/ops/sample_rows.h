// Tokens drawn from rows of logits, where the logits are.
//
// Letters: B rows, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include "thinktune/ops/token_logprob.h"

namespace thinktune::ops {

struct SampledRows {
  at::Tensor ids_B;  // int64
  at::Tensor
      logprob_B;  // f32, nats, under the transform; NaN where a row's logits are not finite: its id means nothing
};

// logits_BV: f32, bf16 or f64. Each row's cumulative distribution under the transform, in the order of token ids, is
// inverted at uniforms_B (f64, in [0, 1)). `greedy`: the largest logit, the lowest id among equals; uniforms_B is not
// read. As infer::sample_tokens draws on the CPU, up to the rounding of probabilities. No gradient. The device is not
// waited for.
SampledRows sample_rows(const at::Tensor& logits_BV, const LogprobTransform& transform, bool greedy,
                        const at::Tensor& uniforms_B);

}  // namespace thinktune::ops
