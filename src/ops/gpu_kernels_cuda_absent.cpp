#include "gpu_kernels.h"
#include "thinktune/core/error.h"

namespace thinktune::ops::gpu {
namespace {

core::Error no_cuda() { return core::internal_error("a kernel for GPUs is called in a build without CUDA"); }

}  // namespace

bool has_kernels(const at::Tensor&) { return false; }
at::Tensor rms_norm_forward(const at::Tensor&, const at::Tensor&, const at::Tensor&, const kernels::RmsNormForm&,
                            const at::Tensor&) {
  throw no_cuda();
}
void rms_norm_backward(const at::Tensor&, const at::Tensor&, const kernels::RmsNormForm&, const at::Tensor&,
                       const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  throw no_cuda();
}
at::Tensor rope(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) { throw no_cuda(); }
at::Tensor glu_forward(const at::Tensor&, kernels::Activation) { throw no_cuda(); }
at::Tensor glu_backward(const at::Tensor&, const at::Tensor&, kernels::Activation) { throw no_cuda(); }
void row_statistics(const LogitRows&, const LogprobTransform&) { throw no_cuda(); }
void row_gradients(const LogitRows&, const LogprobTransform&, const at::Tensor&, const at::Tensor&) { throw no_cuda(); }
bool has_paged_kernels(const at::Tensor&, int64_t) { return false; }
void write_rows(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  throw no_cuda();
}
at::Tensor paged_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&, const PagedBatch&,
                           const AttentionOptions&) {
  throw no_cuda();
}

SampledRows sample_rows(const at::Tensor&, const LogprobTransform&, bool, const DrawCounters&) { throw no_cuda(); }
PolicyLossPass policy_loss(const PolicyLossArrays&, const kernels::cuda::PolicyLossOptions&) { throw no_cuda(); }
at::Tensor sum_of_squares(const std::vector<at::Tensor>&) { throw no_cuda(); }
double scale_to_norm(const std::vector<at::Tensor>&, const at::Tensor&, double) { throw no_cuda(); }

}  // namespace thinktune::ops::gpu
