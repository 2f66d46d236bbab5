#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "infer/recording.h"

namespace thinktune::infer {
namespace {

class Graph final : public Recording {
 public:
  Graph(at::Device gpu, RecordingPool pool, const std::function<void()>& work) {
    const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream(gpu.index());
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, gpu.index());
    before.synchronize();
    const c10::cuda::CUDAStreamGuard guard(stream);  // the default stream cannot be recorded
    work();                                          // libraries make their handles and workspaces
    stream.synchronize();
    // Other threads may go on using the GPU.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    work();
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  at::cuda::CUDAGraph graph_;
};

}  // namespace

RecordingPool new_recording_pool() { return at::cuda::graph_pool_handle(); }

std::unique_ptr<Recording> record(at::Device gpu, RecordingPool pool, const std::function<void()>& work) {
  return std::make_unique<Graph>(gpu, pool, work);
}

}  // namespace thinktune::infer
