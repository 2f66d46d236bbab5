#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <spdlog/spdlog.h>

#include <map>
#include <mutex>

#include "infer/recording.h"

namespace thinktune::infer {
namespace {

// One for all recordings of a GPU. LibTorch's allocator gives a block again on its own stream only, also within a pool,
// and cuBLAS has a workspace for each stream: with others, recordings would share nothing.
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex gpu) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const std::lock_guard lock(mutex);
  const auto found = streams.find(gpu);
  if (found != streams.end()) return found->second;
  return streams.emplace(gpu, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, gpu)).first->second;
}

class Graph final : public Recording {
 public:
  Graph(at::Device gpu, RecordingPool pool, const std::function<void()>& work) {
    const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream(gpu.index());
    const c10::cuda::CUDAStream stream = recording_stream(gpu.index());
    before.synchronize();
    const c10::cuda::CUDAStreamGuard guard(stream);  // the default stream cannot be recorded
    work();                                          // libraries make their handles and workspaces
    stream.synchronize();
    // What LibTorch keeps for others, also of the run above, it cannot give back to the driver while it records.
    c10::cuda::CUDACachingAllocator::emptyCache();
    // Other threads may go on using the GPU.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      stop_recording();
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  // After work that has failed, as for want of memory: the stream and LibTorch's allocator are to serve others.
  void stop_recording() {
    try {
      graph_.capture_end();
    } catch (const std::exception& error) {  // what ended the work ends the recording too
      spdlog::debug("a recording was given up: {}", error.what());
    }
  }

  at::cuda::CUDAGraph graph_;
};

}  // namespace

RecordingPool new_recording_pool() { return at::cuda::graph_pool_handle(); }

std::unique_ptr<Recording> record(at::Device gpu, RecordingPool pool, const std::function<void()>& work) {
  return std::make_unique<Graph>(gpu, pool, work);
}

}  // namespace thinktune::infer
