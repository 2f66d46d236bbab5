// Log-probability and entropy of given tokens from hidden states, without ever holding [T, V] logits.
//
// Letters: T tokens, V vocabulary, D width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thinktune::ops {

// What stands between the model's logits and the distribution that is sampled from. The sampler and the trainer use the
// same one, or the probability ratio is not 1 at the first update.
struct LogprobTransform {
  double temperature = 1.0;  // > 0; logits are divided by it
  int64_t top_k = 0;         // keep the k largest logits (ties at the border all stay); 0: all
  double top_p = 1.0;        // then the smallest set of tokens whose probability reaches top_p; 1: all
};

struct TokenLogprobs {
  at::Tensor logprob_T;  // f32 (f64 for f64 input), nats, under the transform, renormalised over what it keeps
  at::Tensor entropy_T;  // same dtype, nats, of the distribution under the transform; no gradient unless asked for
};

struct TokenLogprobOptions {
  LogprobTransform transform;
  double softcap = 0;  // c > 0: the model's logits are c · tanh(product / c) (Gemma 2)
  // Of [T, V], so much is held at a time. Whole rows: of chunk_tokens tokens, fewer where the vocabulary is large.
  // Backward, unless the transform truncates: backward_tokens tokens by backward_vocabulary entries.
  int64_t chunk_tokens = 256;
  int64_t backward_tokens = 4096;
  int64_t backward_vocabulary = 4096;
  bool entropy_gradient = false;  // entropy_T takes part in backward
};

// hidden_TD and head_VD: same float dtype (f32, f64 or bf16), targets_T: int64 in [0, V). Products in the input's
// dtype, softmax statistics in f32 (f64 for f64). Differentiable in hidden_TD and head_VD: backward computes the
// logits again, so that memory does not grow with T, and beyond the head's gradient not with V. A target that the
// transform would drop (the sampler's logits and the trainer's differ in the last bits) is kept: its log-probability is
// finite. Throws Error{Internal} for shapes or dtypes that do not fit.
TokenLogprobs token_logprob(const at::Tensor& hidden_TD, const at::Tensor& head_VD, const at::Tensor& targets_T,
                            const TokenLogprobOptions& options);

}  // namespace thinktune::ops
