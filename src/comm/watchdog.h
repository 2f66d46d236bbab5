// Looks after operations whose own time-outs may fail: a device that hangs ends nothing by itself.
#pragma once

#include <c10/core/Device.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

namespace thinktune::comm {

class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;

  enum class State : uint8_t { Running, Over, Failed };

  struct Watched {
    std::function<State()> look;
    std::function<void()> on_late;
    Clock::time_point deadline;
    State state = State::Running;  // when it was last looked at
  };

  // An operation that runs at its deadline, or that has failed, is late: its on_late is called, once, on the watchdog's
  // thread, which then looks after nothing any more. It looks every `interval`, with `device` as its current one. An
  // operation that is over is forgotten, and one that cannot be asked.
  explicit Watchdog(std::chrono::milliseconds interval, std::optional<c10::Device> device = {});
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void watch(Watched operation);  // by any thread

 private:
  void run();
  void forget_what_is_over();

  std::chrono::milliseconds interval_;
  std::optional<c10::Device> device_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::list<Watched> running_;
  std::thread thread_;
};

}  // namespace thinktune::comm
