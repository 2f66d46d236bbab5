// Compiled in the CUDA build only.
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "backends.h"

namespace thinktune::comm {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, const BackendSetup& setup) {
  using c10d::ProcessGroupNCCL;
  auto options = ProcessGroupNCCL::Options::create();
  // Its own watchdog, which ends the process without a word on step or operation, comes after ours.
  options->timeout = setup.timeout + std::chrono::seconds(60);
  auto group = c10::make_intrusive<ProcessGroupNCCL>(store, setup.rank, setup.size, options);
  group->setBoundDeviceId(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(setup.cuda_device)));
  return group;
}

}  // namespace thinktune::comm
