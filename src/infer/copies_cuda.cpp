#include <ATen/ATen.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <spdlog/spdlog.h>

#include "infer/copies.h"

namespace thinktune::infer {
namespace {

class EventArrival final : public Arrival {
 public:
  EventArrival(const c10::cuda::CUDAStream& stream, at::Tensor host, at::Tensor device)
      : host_(std::move(host)), device_(std::move(device)) {
    event_.record(stream);
  }
  ~EventArrival() override {
    try {
      wait();
    } catch (const std::exception& error) {  // the device is lost: the next call says so
      spdlog::debug("a copy to the host was given up: {}", error.what());
    }
  }
  void wait() override {
    if (over_) return;
    over_ = true;
    event_.synchronize();
  }

 private:
  at::cuda::CUDAEvent event_;
  bool over_ = false;
  at::Tensor host_, device_;  // their memory is nobody else's until then
};

class StreamCopies final : public Copies {
 public:
  explicit StreamCopies(at::Device gpu)
      : gpu_(gpu), stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, gpu.index())) {}

  void follow() override { after(stream_, current()); }

  void to_device(const at::Tensor& device, const at::Tensor& host) override {
    copy(device, host);
    after(current(), stream_);
  }

  std::unique_ptr<Arrival> to_host(const at::Tensor& host, const at::Tensor& device) override {
    after(stream_, current());
    copy(host, device);
    return std::make_unique<EventArrival>(stream_, host, device);
  }

 private:
  c10::cuda::CUDAStream current() const { return c10::cuda::getCurrentCUDAStream(gpu_.index()); }

  // What `later` is given from now on waits, on the device, for what `earlier` has been given.
  static void after(const c10::cuda::CUDAStream& later, const c10::cuda::CUDAStream& earlier) {
    at::cuda::CUDAEvent event;
    event.record(earlier);
    event.block(later);
  }

  void copy(const at::Tensor& to, const at::Tensor& from) const {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    to.copy_(from, /*non_blocking=*/true);
  }

  at::Device gpu_;
  c10::cuda::CUDAStream stream_;
};

}  // namespace

std::unique_ptr<Copies> make_gpu_copies(at::Device gpu) { return std::make_unique<StreamCopies>(gpu); }

}  // namespace thinktune::infer
