#include "thinktune/ops/gradient_norm.h"

#include <algorithm>

#include "gpu_kernels.h"

namespace thinktune::ops {

bool has_gradient_norm(const std::vector<at::Tensor>& gradients) {
  return !gradients.empty() &&
         std::all_of(gradients.begin(), gradients.end(), [](const at::Tensor& g) { return gpu::has_kernels(g); });
}

at::Tensor sum_of_squares(const std::vector<at::Tensor>& gradients) { return gpu::sum_of_squares(gradients); }

double scale_to_norm(const std::vector<at::Tensor>& gradients, const at::Tensor& sum_1, double max_norm) {
  return gpu::scale_to_norm(gradients, sum_1, max_norm);
}

}  // namespace thinktune::ops
