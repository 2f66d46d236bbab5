// What only a build with CUDA can do: device_cuda.cpp in such a build, device_cuda_absent.cpp in any other.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "thinktune/ops/device.h"

namespace thinktune::ops::cuda {

bool is_built();
std::string version();  // "13.0"
int64_t num_gpus();     // that a driver shows; 0 without one

// Of a GPU that exists. In a build without CUDA they are never called, and throw.
void make_current(at::Device gpu);
std::string name(at::Device gpu);
void synchronize(at::Device gpu);
DeviceMemory memory(at::Device gpu);
void reset_peak_memory(at::Device gpu);

void push_range(const char* name);
void pop_range();

}  // namespace thinktune::ops::cuda
