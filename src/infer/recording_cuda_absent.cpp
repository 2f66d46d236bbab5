#include "infer/recording.h"
#include "thinktune/core/error.h"

namespace thinktune::infer {

RecordingPool new_recording_pool() { throw core::internal_error("a GPU is used by a build without CUDA"); }

std::unique_ptr<Recording> record(at::Device, RecordingPool, const std::function<void()>&) {
  throw core::internal_error("a GPU is used by a build without CUDA");
}

}  // namespace thinktune::infer
