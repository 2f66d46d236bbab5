// Compiled by g++: nvcc does not take fmt, which core/error.h includes.
#include <cuda_runtime.h>

#include <string>

#include "kernels/cuda/stream.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels::cuda {

void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  throw core::device_error(
      std::string("the launch of the CUDA kernel ") + kernel + " failed: " + cudaGetErrorString(status),
      status == cudaErrorNoKernelImageForDevice
          ? "this build has no code for the GPU: configure with -DCMAKE_CUDA_ARCHITECTURES=native"
          : "run it again under compute-sanitizer, or with CUDA_LAUNCH_BLOCKING=1, to see where it comes from");
}

}  // namespace thinktune::kernels::cuda
