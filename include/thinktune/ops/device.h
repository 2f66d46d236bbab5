// The device that a run computes on: the CPU, or one GPU. A build without CUDA knows the CPU only.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <exception>
#include <string>

namespace thinktune::ops {

// Throws Error{User} unless `name` is auto, cpu, cuda or cuda:N. `setting` names where it came from ("device").
void check_device_name(const std::string& name, const std::string& setting);

// The device of that name, made ready: it is the current one, and LibTorch's operations give the same bits each time.
// auto: the first GPU where there is one and the build has CUDA, else the CPU; cuda: the first GPU.
// Throws Error{User}: as check_device_name, or the build has no CUDA, or there is no such GPU.
at::Device open_device(const std::string& name);

// For the whole process, as open_device does it for a GPU. Same inputs, same bits: of LibTorch's operations the
// variants without atomic sums, cuBLAS with the fixed workspaces that this takes, no products in TF32, and sums of bf16
// products in f32.
void compute_deterministically();

// Where a rank stands among the ranks of its machine.
struct LocalRank {
  int64_t rank = 0, size = 1;
  bool may_see_only_its_own = false;  // the launcher may show each rank one GPU and no other (Slurm, Open MPI)
};

// The device, as open_device takes it, of one of several ranks where the setting says `name` and the rank sees
// `num_gpus`: each rank of a machine has the GPU of its own number. "cpu", and any name where there is one rank, stay.
// Throws Error{User}: a GPU is named that all ranks would share, or there are fewer GPUs than ranks ("auto": unless
// there is none at all).
std::string device_of_rank(const std::string& name, const LocalRank& local, int64_t num_gpus);

// GPUs that this process sees; 0 in a build without CUDA.
int64_t num_gpus();

// "CPU", or "NVIDIA H100 80GB HBM3 (cuda:0, 79.2 GiB)".
std::string describe(at::Device device);

// What the build can compute on, and what is there: "no CUDA", "CUDA 13.0, no GPU: computes on the CPU",
// "CUDA 13.0, 2 GPUs".
std::string cuda_support();

// While one lives LibTorch may take its variants whose order of sums or writes is free: for calls where no order shows
// in the result, and the fixed one costs time or is refused. Of one thread at a time.
class FreeOrder {
 public:
  FreeOrder();
  ~FreeOrder();
  FreeOrder(const FreeOrder&) = delete;
  FreeOrder& operator=(const FreeOrder&) = delete;

 private:
  bool was_deterministic_;
};

// Waits until the device has done all that it was given. Nothing for the CPU.
void synchronize(at::Device device);

// Bytes of a GPU; all 0 for the CPU.
struct DeviceMemory {
  int64_t total = 0;
  int64_t free = 0;
  // The most since the program began or reset_peak_memory: that tensors took together, and that LibTorch held for them,
  // with what it keeps to give again.
  int64_t peak = 0, peak_reserved = 0;
};
DeviceMemory memory_of(at::Device device);
void reset_peak_memory(at::Device device);

// Whether it says that memory, the host's or a GPU's, could not be had.
bool is_out_of_memory(const std::exception& error);

// Names what happens during its life in the time line of NVIDIA's profilers (NVTX). Nothing in a build without CUDA.
class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

}  // namespace thinktune::ops
