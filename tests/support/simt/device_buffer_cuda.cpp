#include <cuda_runtime_api.h>

#include <stdexcept>
#include <utility>

#include "support/device_buffer.h"

namespace thinktune::test {
namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace

std::string device_missing() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("no GPU: ") + cudaGetErrorString(status);
  return count == 0 ? "no GPU" : "";
}

void* device_allocate(size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "cudaMalloc");
  return memory;
}
void device_free(void* memory) { cudaFree(memory); }
void copy_to_device(void* to, const void* from, size_t bytes) {
  check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "cudaMemcpy to the device");
}
void copy_to_host(void* to, const void* from, size_t bytes) {
  check(cudaDeviceSynchronize(), "a kernel");
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy to the host");
}

void forbid(void*, size_t) {}  // compute-sanitizer watches a device's memory
void allow(void*, size_t) {}

Recording::Recording(std::function<void(CUstream_st*)> launches) : launches_(std::move(launches)) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  launches_(stream);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  cudaGraphExec_t recorded = nullptr;
  check(cudaGraphInstantiate(&recorded, graph, 0), "cudaGraphInstantiate");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check(cudaStreamDestroy(stream), "cudaStreamDestroy");
  graph_ = recorded;
}
Recording::~Recording() { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph_)); }
void Recording::run() {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph_), nullptr), "cudaGraphLaunch");
  check(cudaDeviceSynchronize(), "a recorded kernel");
}

}  // namespace thinktune::test
