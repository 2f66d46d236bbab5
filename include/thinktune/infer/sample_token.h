// One token from one row of logits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "thinktune/core/error.h"
#include "thinktune/core/random.h"
#include "thinktune/core/types.h"
#include "thinktune/infer/engine.h"

namespace thinktune::infer {

struct SampledToken {
  core::TokenId id = 0;
  float logprob = 0;  // nats, under the transform that was sampled from; greedy: under temperature 1
};

// Row i of logits_BV (f32, bf16 or f64, contiguous, CPU) is sampled by inverting its cumulative distribution, in the
// order of token ids, at the uniform number of keys[i] and positions[i]. Greedy takes the largest logit, the lowest id
// among equals. Rows do not influence each other. Throws LogitsNotFinite naming the row if its logits are not finite.
std::vector<SampledToken> sample_tokens(const at::Tensor& logits_BV, const SamplingOptions& sampling,
                                        std::span<const core::RandomKey> keys, std::span<const uint32_t> positions);

// Error{Device}: what the sampler reads holds NaN or infinity. Whoever knows the weights can say which.
class LogitsNotFinite final : public core::Error {
 public:
  LogitsNotFinite(int64_t row, const core::RandomKey& key);
};

}  // namespace thinktune::infer
