#include "text/word_cache.h"

#include <atomic>

namespace thinktune::text {

uint32_t WordCache::new_owner() {
  static std::atomic<uint32_t> next{1};
  return next.fetch_add(1);
}

}  // namespace thinktune::text
