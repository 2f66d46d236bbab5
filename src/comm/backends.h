// The two libraries behind a communicator. Each is one file, so that LibTorch's heavy headers are read twice only.
#pragma once

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "watchdog.h"

namespace thinktune::comm {

struct BackendSetup {
  int rank = 0, size = 1;
  std::chrono::milliseconds timeout{};
  std::string local_address;  // of the interface over which rank 0 is reached
  int64_t cuda_device = 0;
};

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, const BackendSetup& setup);

// Throws Error{User} in a build without CUDA.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, const BackendSetup& setup);

// Of an operation on a GPU, for which nobody waits: one that has failed calls itself completed.
inline Watchdog::State state_of(c10d::Work& work) {
  const bool completed = work.isCompleted();
  if (work.exception() != nullptr) return Watchdog::State::Failed;
  return completed ? Watchdog::State::Over : Watchdog::State::Running;
}

}  // namespace thinktune::comm
