#include "infer/copies.h"
#include "thinktune/core/error.h"

namespace thinktune::infer {

std::unique_ptr<Copies> make_gpu_copies(at::Device) {
  throw core::internal_error("a GPU is used by a build without CUDA");
}

}  // namespace thinktune::infer
