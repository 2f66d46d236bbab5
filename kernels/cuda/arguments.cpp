#include <string>

#include "kernels/cuda/stream.h"
#include "thinktune/core/error.h"

namespace thinktune::kernels::cuda {

void refuse(const char* kernel, const char* what) {
  throw core::internal_error(std::string("the CUDA kernel ") + kernel + ": " + what);
}

}  // namespace thinktune::kernels::cuda
