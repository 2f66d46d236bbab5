// kernels/cuda on tensors: gpu_kernels_cuda.cpp in a build with CUDA, gpu_kernels_cuda_absent.cpp in any other. Work
// goes to the device's current stream. Shapes and gradients are those of the CPU's kernels, beside which each function
// is called.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cuda/stream.h"
#include "kernels/glu.h"
#include "kernels/rms_norm.h"
#include "logit_rows.h"
#include "thinktune/ops/paged_attention.h"
#include "thinktune/ops/policy_loss.h"
#include "thinktune/ops/sample_rows.h"

namespace thinktune::ops::gpu {

// f32 or bf16 on a GPU, in a build with CUDA: of other tensors nothing below may be called.
bool has_kernels(const at::Tensor& tensor);

// As kernels/cuda/rms_norm.h has it. residual_TD: undefined, or what x is added to in place and which is normed then:
// contiguous, of x's shape, dtype and device. inverse_rms_T may be undefined.
at::Tensor rms_norm_forward(const at::Tensor& x_TD, const at::Tensor& residual_TD, const at::Tensor& weight_D,
                            const kernels::RmsNormForm& form, const at::Tensor& inverse_rms_T);
// x: what was normed. Undefined tensors for gradients that are not asked for. dresidual_TD, which may be undefined, is
// added to dx before that is rounded: the gradient that comes to the residual by its own way.
void rms_norm_backward(const at::Tensor& x_TD, const at::Tensor& weight_D, const kernels::RmsNormForm& form,
                       const at::Tensor& inverse_rms_T, const at::Tensor& dy_TD, const at::Tensor& dresidual_TD,
                       const at::Tensor& dx_TD, const at::Tensor& dweight_D);

// The last dimension of x is contiguous.
at::Tensor rope(const at::Tensor& x_TNH, const at::Tensor& cos_TK, const at::Tensor& sin_TK, bool forward);

at::Tensor glu_forward(const at::Tensor& gate_up_T2F, kernels::Activation activation);
at::Tensor glu_backward(const at::Tensor& gate_up_T2F, const at::Tensor& dout_TF, kernels::Activation activation);

// As in logit_rows.h.
void row_statistics(const LogitRows& rows, const LogprobTransform& transform);
void row_gradients(const LogitRows& rows, const LogprobTransform& transform, const at::Tensor& grad_logprob_C,
                   const at::Tensor& grad_entropy_C);

// As in thinktune/ops/paged_attention.h, where has_paged_kernels() of the keys and that page size.
bool has_paged_kernels(const at::Tensor& keys_RKH, int64_t page_tokens);
void write_rows(const at::Tensor& keys_RKH, const at::Tensor& values_RKH, const at::Tensor& rows_T,
                const at::Tensor& k_TKH, const at::Tensor& v_TKH);
at::Tensor paged_attention(const at::Tensor& q_BNH, const at::Tensor& keys_RKH, const at::Tensor& values_RKH,
                           const PagedBatch& batch, const AttentionOptions& options);

// As in thinktune/ops/sample_rows.h.
SampledRows sample_rows(const at::Tensor& logits_BV, const LogprobTransform& transform, bool greedy,
                        const DrawCounters& counters);

// As in thinktune/ops/policy_loss.h, with its gradients: [M] f32; undefined for the entropy's if that is not defined.
struct PolicyLossPass {
  PolicyLossResult result;
  at::Tensor grad_logprobs_M, grad_entropy_M;
};
PolicyLossPass policy_loss(const PolicyLossArrays& arrays, const kernels::cuda::PolicyLossOptions& options);

// As in thinktune/ops/gradient_norm.h.
at::Tensor sum_of_squares(const std::vector<at::Tensor>& gradients);
double scale_to_norm(const std::vector<at::Tensor>& gradients, const at::Tensor& sum_1, double max_norm);

// Only in a build with CUDA.
kernels::cuda::Stream current_stream(at::Device gpu);
int64_t num_multiprocessors(at::Device gpu);

}  // namespace thinktune::ops::gpu
