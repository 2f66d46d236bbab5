#include "thinktune/core/heap.h"

#include <malloc.h>

namespace thinktune::core {

void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

void give_back_freed_memory() {
  constexpr int kLarge = 1 << 20;  // from here on an allocation has pages of its own
  mallopt(M_MMAP_MAX, 65536);
  mallopt(M_MMAP_THRESHOLD, kLarge);
  mallopt(M_TRIM_THRESHOLD, kLarge);
  mallopt(M_TOP_PAD, 0);
}

}  // namespace thinktune::core
