// One token for each sequence of a batch, in one launch: the rule of src/infer/sample_token.cpp, with the same numbers.
// On equal logits the token is the CPU's unless the drawn number falls within the rounding of exp, about 1e-7, of a
// border between two tokens (or top_p does).
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/sampling_transform.h"
#include "thinktune/core/random.h"

namespace thinktune::kernels::cuda {

// logits: [B, V] contiguous, V ≤ 2^20. keys, positions: device, [B]; token b is drawn with
// core::random_uniform(keys[b], positions[b]). temperature 0: the first of the largest logits, with its log-probability
// at temperature 1 among all tokens. ids, logprobs: device, [B]; a row that is not finite gets the id −1 and NaN.
template <class E>
void sample_tokens(const E* logits, int64_t batch, int64_t vocabulary, const SamplingTransform& transform,
                   const core::RandomKey* keys, const uint32_t* positions, int32_t* ids, float* logprobs,
                   Stream stream);

}  // namespace thinktune::kernels::cuda
