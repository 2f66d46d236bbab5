#include <cstdlib>
#include <new>
#include <utility>

#include "support/device_buffer.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace thinktune::test {

std::string device_missing() { return ""; }

void* device_allocate(size_t bytes) { return ::operator new (bytes, std::align_val_t{256}); }
void device_free(void* memory) { ::operator delete (memory, std::align_val_t{256}); }
void copy_to_device(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void copy_to_host(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

#if defined(__SANITIZE_ADDRESS__)
void forbid(void* memory, size_t bytes) { __asan_poison_memory_region(memory, bytes); }
void allow(void* memory, size_t bytes) { __asan_unpoison_memory_region(memory, bytes); }
#else
void forbid(void*, size_t) {}
void allow(void*, size_t) {}
#endif

Recording::Recording(std::function<void(CUstream_st*)> launches) : launches_(std::move(launches)) {}
Recording::~Recording() = default;
void Recording::run() { launches_(nullptr); }

}  // namespace thinktune::test
