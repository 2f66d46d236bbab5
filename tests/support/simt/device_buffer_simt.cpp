#include <cstdlib>
#include <new>

#include "support/device_buffer.h"

namespace thinktune::test {

std::string device_missing() { return ""; }

void* device_allocate(size_t bytes) { return ::operator new (bytes, std::align_val_t{256}); }
void device_free(void* memory) { ::operator delete (memory, std::align_val_t{256}); }
void copy_to_device(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void copy_to_host(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

}  // namespace thinktune::test
