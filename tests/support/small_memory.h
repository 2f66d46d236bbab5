// A machine with less memory than this one.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>
#include <unordered_map>

namespace thinktune::test {

// In place of LibTorch's allocator: what would not fit fails as it does on a full machine, with LibTorch's own error.
// Counts while it is `watching`.
class SmallMemory final : public at::Allocator {
 public:
  SmallMemory() : machine_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, 100); }
  ~SmallMemory() override {
    watching = false;
    c10::SetCPUAllocator(machine_, 100);
  }

  at::DataPtr allocate(size_t num_bytes) override {
    constexpr size_t kMoreThanAnyMachineHas = size_t{1} << 60;
    const auto bytes = static_cast<int64_t>(num_bytes);
    if (watching && (num_allocations++ == fails_at || live_bytes() + bytes > limit_bytes))
      return machine_->allocate(kMoreThanAnyMachineHas);
    at::DataPtr data = machine_->allocate(num_bytes);
    TORCH_CHECK(data.get() == data.get_context(), "the allocator frees by the address");
    const std::lock_guard lock(mutex());
    sizes()[data.get()] = bytes;
    live_bytes_of_all() += bytes;
    if (watching) peak_bytes = std::max(peak_bytes, live_bytes_of_all());
    void* address = data.release_context();
    return {address, address, &free, c10::kCPU};
  }
  at::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    machine_->copy_data(to, from, num_bytes);
  }

  static int64_t live_bytes() {
    const std::lock_guard lock(mutex());
    return live_bytes_of_all();
  }

  bool watching = false;
  int64_t limit_bytes = std::numeric_limits<int64_t>::max();  // of all tensors together
  int64_t fails_at = -1;                                      // the number of one allocation; -1: none
  int64_t num_allocations = 0, peak_bytes = 0;

 private:
  // Tensors may outlive the machine that they were made on.
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::unordered_map<void*, int64_t>& sizes() {
    static std::unordered_map<void*, int64_t> all;
    return all;
  }
  static int64_t& live_bytes_of_all() {
    static int64_t bytes = 0;
    return bytes;
  }
  static void free(void* address) {
    {
      const std::lock_guard lock(mutex());
      const auto own = sizes().find(address);
      if (own != sizes().end()) {
        live_bytes_of_all() -= own->second;
        sizes().erase(own);
      }
    }
    c10::GetDefaultCPUAllocator()->raw_deleter()(address);
  }

  at::Allocator* machine_;
};

}  // namespace thinktune::test
