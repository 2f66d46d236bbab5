// Copies between a device and the host's memory beside what the device computes. copies_cuda.cpp in a build with CUDA,
// copies_cuda_absent.cpp in any other.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

namespace thinktune::infer {

// A copy to the host. Whoever gives it up waits for its end.
class Arrival {
 public:
  virtual ~Arrival() = default;
  virtual void wait() = 0;
};

// A stream of its own on a GPU, where both tensors of a copy are contiguous and the host's pinned; elsewhere a copy is
// done when it is asked for. Both tensors are left alone until it is over.
class Copies {
 public:
  virtual ~Copies() = default;

  // What is copied from now on comes behind what the current stream has been given: for memory that is new.
  virtual void follow() = 0;

  // The current stream goes on behind it; the host does not wait.
  virtual void to_device(const at::Tensor& device, const at::Tensor& host) = 0;

  // Behind what the current stream has been given, and not in its way.
  virtual std::unique_ptr<Arrival> to_host(const at::Tensor& host, const at::Tensor& device) = 0;
};

std::unique_ptr<Copies> make_copies(at::Device device);
std::unique_ptr<Copies> make_gpu_copies(at::Device gpu);

// A tensor on the host, pinned if `device` is a GPU.
at::Tensor host_tensor(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device);

}  // namespace thinktune::infer
