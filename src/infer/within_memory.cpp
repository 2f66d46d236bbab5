#include "thinktune/infer/within_memory.h"

#include <spdlog/spdlog.h>

namespace thinktune::infer {

void warn_of_fewer(int64_t before, int64_t now) {
  spdlog::warn("out of memory with {} sequences at a time; going on with {} (the same answers, more slowly)", before,
               now);
}

}  // namespace thinktune::infer
