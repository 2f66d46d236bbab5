// Looks after operations whose own time-outs may fail: a device that hangs ends nothing by itself.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace thinktune::comm {

class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;

  struct Watched {
    std::function<bool()> is_over;
    std::function<void()> on_late;
    Clock::time_point started;
  };

  // An operation that is not over `limit` after it was started is late: its on_late is called, once, on the watchdog's
  // thread, which then looks after nothing any more. It looks every `interval`. An operation that is over is forgotten,
  // and one that cannot be asked.
  Watchdog(std::chrono::duration<double> limit, std::chrono::milliseconds interval);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void watch(Watched operation);  // by any thread

 private:
  void run();
  void forget_what_is_over();

  std::chrono::duration<double> limit_;
  std::chrono::milliseconds interval_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::list<Watched> running_;
  std::thread thread_;
};

}  // namespace thinktune::comm
