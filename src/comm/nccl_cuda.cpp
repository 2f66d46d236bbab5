// Compiled in the CUDA build only.
#define USE_C10D_NCCL
#include <c10/util/env.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "backends.h"

namespace thinktune::comm {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, const BackendSetup& setup) {
  using c10d::ProcessGroupNCCL;
  // Its own watchdog would end the process without a word on step or operation (torchrun asks it to): ours is for that.
  c10::utils::set_env("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0");
  auto options = ProcessGroupNCCL::Options::create();
  options->timeout = setup.timeout + std::chrono::seconds(60);
  auto group = c10::make_intrusive<ProcessGroupNCCL>(store, setup.rank, setup.size, options);
  group->setBoundDeviceId(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(setup.cuda_device)));
  return group;
}

}  // namespace thinktune::comm
