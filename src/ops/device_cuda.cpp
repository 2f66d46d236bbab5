#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#include <nvtx3/nvToolsExt.h>

#include "cuda_build.h"
#include "thinktune/core/error.h"

namespace thinktune::ops::cuda {

bool is_built() { return true; }

std::string version() { return fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10); }

int64_t num_gpus() { return c10::cuda::device_count(); }  // 0, and no exception, where there is no driver

void make_current(at::Device gpu) {
  c10::cuda::set_device(gpu.index());  // first: whatever makes a context makes it there, not on GPU 0
  at::globalContext().lazyInitDevice(at::kCUDA);
}

std::string name(at::Device gpu) {
  cudaDeviceProp properties{};
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, gpu.index()));
  return properties.name;
}

void synchronize(at::Device gpu) {
  c10::cuda::set_device(gpu.index());
  c10::cuda::device_synchronize();
}

DeviceMemory memory(at::Device gpu) {
  c10::cuda::set_device(gpu.index());
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  DeviceMemory memory{.total = static_cast<int64_t>(total), .free = static_cast<int64_t>(free)};
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(gpu.index());
  memory.peak = stats.allocated_bytes[kAll].peak;
  memory.peak_reserved = stats.reserved_bytes[kAll].peak;
  return memory;
}

void reset_peak_memory(at::Device gpu) { c10::cuda::CUDACachingAllocator::resetPeakStats(gpu.index()); }

void push_range(const char* name) { nvtxRangePushA(name); }
void pop_range() { nvtxRangePop(); }

}  // namespace thinktune::ops::cuda
