// Memory of the device that runs a test's kernels: the SIMT layer's, which is the host's, or a GPU's. Each buffer
// stands between canaries and begins as garbage (0xA5), so that what a kernel leaves out or writes beyond is seen.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

struct CUstream_st;

namespace thinktune::test {

// Why no kernel can run here; empty if one can.
std::string device_missing();

void* device_allocate(size_t bytes);
void device_free(void* memory);
void copy_to_device(void* to, const void* from, size_t bytes);
void copy_to_host(void* to, const void* from, size_t bytes);  // waits for the kernels; throws what they met

// Kernels that are recorded once, as a CUDA graph, and run again and again; the SIMT layer, which has no graphs,
// launches them anew each time.
class Recording {
 public:
  explicit Recording(std::function<void(CUstream_st*)> launches);
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  void run();  // and wait

 private:
  std::function<void(CUstream_st*)> launches_;
  void* graph_ = nullptr;
};

// What stands around a buffer: under AddressSanitizer the SIMT layer's kernels may not even read it.
void forbid(void* memory, size_t bytes);
void allow(void* memory, size_t bytes);

template <class T>
class DeviceBuffer {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  explicit DeviceBuffer(size_t size) : size_(size), base_(device_allocate(size * sizeof(T) + 2 * kGuard)) {
    const std::vector<unsigned char> garbage(size * sizeof(T) + 2 * kGuard, 0xA5);
    copy_to_device(base_, garbage.data(), garbage.size());
    forbid(base_, kGuard);
    forbid(data() + size, kGuard);
  }
  DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) { write(values); }
  ~DeviceBuffer() {
    allow(base_, kGuard);
    allow(data() + size_, kGuard);
    expect_canaries();
    device_free(base_);
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* data() const { return reinterpret_cast<T*>(static_cast<unsigned char*>(base_) + kGuard); }
  size_t size() const { return size_; }
  void write(const std::vector<T>& values) {
    ASSERT_EQ(values.size(), size_);
    if (size_ > 0) copy_to_device(data(), values.data(), size_ * sizeof(T));
  }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    if (size_ > 0) copy_to_host(values.data(), data(), size_ * sizeof(T));
    return values;
  }

 private:
  static constexpr size_t kGuard = 256;

  void expect_canaries() const {
    std::vector<unsigned char> bytes(size_ * sizeof(T) + 2 * kGuard);
    copy_to_host(bytes.data(), base_, bytes.size());
    for (size_t i = 0; i < kGuard; ++i) {
      if (bytes[i] != 0xA5) {
        ADD_FAILURE() << "a kernel wrote before a buffer of " << size_;
        return;
      }
      if (bytes[kGuard + size_ * sizeof(T) + i] != 0xA5) {
        ADD_FAILURE() << "a kernel wrote behind a buffer of " << size_;
        return;
      }
    }
  }

  size_t size_;
  void* base_;
};

// Suites of kernels derive from it.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = device_missing(); !missing.empty()) GTEST_SKIP() << missing;
  }
};

}  // namespace thinktune::test
