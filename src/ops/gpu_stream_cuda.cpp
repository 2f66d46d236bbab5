// A file of its own: a test without a GPU has its own.
#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDAStream.h>

#include "gpu_kernels.h"

namespace thinktune::ops::gpu {

bool has_kernels(const at::Tensor& tensor) {
  return tensor.is_cuda() && (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
}

kernels::cuda::Stream current_stream(at::Device gpu) { return c10::cuda::getCurrentCUDAStream(gpu.index()).stream(); }

int64_t num_multiprocessors(at::Device gpu) { return at::cuda::getDeviceProperties(gpu.index())->multiProcessorCount; }

}  // namespace thinktune::ops::gpu
