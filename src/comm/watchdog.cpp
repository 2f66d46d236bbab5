#include "watchdog.h"

#include <algorithm>
#include <utility>

namespace thinktune::comm {

Watchdog::Watchdog(std::chrono::duration<double> limit, std::chrono::milliseconds interval)
    : limit_(limit), interval_(interval), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Watchdog::watch(Watched operation) {
  const std::lock_guard lock(mutex_);
  running_.push_back(std::move(operation));
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, interval_, [&] { return ends_; })) {
    running_.remove_if([](const Watched& o) { return o.is_over(); });
    const auto late = std::find_if(running_.begin(), running_.end(),
                                   [&](const Watched& o) { return Clock::now() - o.started > limit_; });
    if (late == running_.end()) continue;
    const auto on_late = std::move(late->on_late);
    running_.clear();
    lock.unlock();
    on_late();
    return;
  }
}

}  // namespace thinktune::comm
