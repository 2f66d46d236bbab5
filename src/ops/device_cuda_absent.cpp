#include "cuda_build.h"
#include "thinktune/core/error.h"

namespace thinktune::ops::cuda {
namespace {

core::Error no_cuda() { return core::internal_error("a GPU is used by a build without CUDA"); }

}  // namespace

bool is_built() { return false; }
std::string version() { throw no_cuda(); }
int64_t num_gpus() { return 0; }
void make_current(at::Device) { throw no_cuda(); }
std::string name(at::Device) { throw no_cuda(); }
void synchronize(at::Device) { throw no_cuda(); }
DeviceMemory memory(at::Device) { throw no_cuda(); }
void reset_peak_memory(at::Device) { throw no_cuda(); }
void push_range(const char*) {}
void pop_range() {}

}  // namespace thinktune::ops::cuda
