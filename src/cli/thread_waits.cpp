#include "thinktune/cli/thread_waits.h"

#include <unistd.h>

#include <cstdlib>

namespace thinktune::cli {

void wait_shortly_for_threads(char** argv) {
  constexpr const char* kSpins = "GOMP_SPINCOUNT";
  if (std::getenv(kSpins) != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (::setenv(kSpins, "3000", 1) == 0) ::execv("/proc/self/exe", argv);
}

}  // namespace thinktune::cli
