// Work given to a GPU once and repeated: a CUDA graph. recording_cuda.cpp in a build with CUDA,
// recording_cuda_absent.cpp in any other.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace thinktune::infer {

class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;  // on the current stream; what `work` read and wrote must still lie where it lay
};

// Records what `work` gives to the GPU. Runs it once before that, and not in the recording: to see its effect, replay
// it. It may wait for nothing, and what it reads and writes must be there before and live on; memory that it takes for
// itself is shared by all recordings of a `pool`.
using RecordingPool = std::pair<uint64_t, uint64_t>;
RecordingPool new_recording_pool();
std::unique_ptr<Recording> record(at::Device gpu, RecordingPool pool, const std::function<void()>& work);

}  // namespace thinktune::infer
