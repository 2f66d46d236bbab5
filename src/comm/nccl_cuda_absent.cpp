// In place of nccl_cuda.cpp in a build without CUDA.
#include "backends.h"
#include "thinktune/core/error.h"

namespace thinktune::comm {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>&, const BackendSetup&) {
  throw core::user_error("ranks on CUDA devices need NCCL, and this program was built without CUDA",
                         "build with -DTHINKTUNE_CUDA=ON, or train on the CPU");
}

}  // namespace thinktune::comm
