#include "watchdog.h"

#include <c10/core/DeviceGuard.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace thinktune::comm {

Watchdog::Watchdog(std::chrono::milliseconds interval, std::optional<c10::Device> device)
    : interval_(interval), device_(device), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

// What is over is let go here too: an operation keeps its tensors' memory, and many begin in one interval.
void Watchdog::watch(Watched operation) {
  const std::lock_guard lock(mutex_);
  forget_what_is_over();
  running_.push_back(std::move(operation));
}

void Watchdog::forget_what_is_over() {
  running_.remove_if([](Watched& operation) {
    try {
      operation.state = operation.look();
      return operation.state == State::Over;
    } catch (const std::exception& error) {  // a device that is lost: who waits for the operation gets the error
      spdlog::debug("an operation cannot be asked whether it is over: {}", error.what());
      return true;
    }
  });
}

void Watchdog::run() {
  // A new thread's is GPU 0, where asking for an operation's end would make a context of this rank's.
  const c10::OptionalDeviceGuard device(device_);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, interval_, [&] { return ends_; })) {
    forget_what_is_over();
    const auto late = std::find_if(running_.begin(), running_.end(), [](const Watched& o) {
      return o.state == State::Failed || Clock::now() > o.deadline;
    });
    if (late == running_.end()) continue;
    const auto on_late = std::move(late->on_late);
    running_.clear();
    lock.unlock();
    on_late();
    return;
  }
}

}  // namespace thinktune::comm
