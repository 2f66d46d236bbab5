// How far this process's memory rises.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace thinktune::test {

// From construction on: the highest resident memory above the resident memory at that moment.
class PeakMemory {
 public:
  PeakMemory() {
    begin_anew();
    before_ = bytes_of("VmRSS:");
  }

  // The highest from now on, above the same.
  void begin_anew() { std::ofstream("/proc/self/clear_refs") << "5"; }

  // Nothing where the system does not tell, and under a sanitizer, which keeps what was freed.
  std::optional<int64_t> rise() const {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return std::nullopt;
#endif
    const std::optional<int64_t> peak = bytes_of("VmHWM:");
    if (!before_ || !peak) return std::nullopt;
    return *peak - *before_;
  }

 private:
  static std::optional<int64_t> bytes_of(const std::string& field) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
      if (word == field) {
        int64_t kib = 0;
        status >> kib;
        return kib * 1024;
      }
    return std::nullopt;
  }

  std::optional<int64_t> before_;
};

}  // namespace thinktune::test
