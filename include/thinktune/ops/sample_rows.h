// Tokens drawn from rows of logits, where the logits are.
//
// Letters: B rows, V vocabulary, X bytes of a key.
#pragma once

#include <ATen/core/Tensor.h>

#include "thinktune/core/random.h"
#include "thinktune/ops/token_logprob.h"

namespace thinktune::ops {

// Where the random numbers come from: row b is drawn with core::random_uniform(key b, position b).
struct DrawCounters {
  at::Tensor keys_BX;      // uint8, X = sizeof(core::RandomKey): the structs' bytes
  at::Tensor positions_B;  // int32, the bits of uint32
};

struct SampledRows {
  at::Tensor ids_B;  // int32
  at::Tensor
      logprob_B;  // f32, nats, under the transform; NaN where a row's logits are not finite: its id means nothing
};

// logits_BV: f32, bf16 or f64, V at most 2^20 on a GPU. Each row's cumulative distribution under the transform, in the
// order of token ids, is inverted at the row's number. `greedy`: the largest logit, the lowest id among equals; no
// number is made. As infer::sample_tokens draws on the CPU, up to the rounding of probabilities. Counters lie beside
// the logits. No gradient. A GPU takes one launch for f32 and bf16, and is not waited for; f64 is for tests.
SampledRows sample_rows(const at::Tensor& logits_BV, const LogprobTransform& transform, bool greedy,
                        const DrawCounters& counters);

}  // namespace thinktune::ops
