// Elapsed time, and time as people read it. Nothing here may decide a number of a run.
#pragma once

#include <chrono>
#include <string>

namespace thinktune::core {

// Seconds of a steady clock since it was made or restarted.
class Stopwatch {
 public:
  Stopwatch() : start_(Clock::now()) {}

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  // Seconds so far; starts again from zero.
  double restart() {
    const Clock::time_point now = Clock::now();
    const double elapsed_s = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return elapsed_s;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
};

// "0.42 s", "12.3 s", "3 min 20 s", "2 h 05 min", "1 d 03 h"; "unknown" if negative or not finite.
std::string human_duration(double seconds);

// ISO 8601 in UTC, whole seconds: "2026-01-05T08:31:02Z".
std::string utc_time_stamp(std::chrono::system_clock::time_point time = std::chrono::system_clock::now());

}  // namespace thinktune::core
