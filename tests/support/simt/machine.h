// Runs a CUDA kernel on the CPU, one block after the other, its threads as fibers on one thread of the host: blocks,
// warps of 32, shared memory, __syncthreads, __syncwarp, shuffles and votes of whole warps. What a GPU leaves undefined
// is an error here, with the place in the kernel's text:
//
//   a barrier, or an operation of a warp, that some threads don't reach, or reach at another place
//   a shared element outside its array, or read before it was written
//   a shared element that one thread writes and another reads or writes without a barrier between (not even a lucky
//   order of the fibers hides it)
//
// Global memory is the host's: AddressSanitizer and the tests' canaries watch it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/simt/fiber.h"

namespace thinktune::simt {

using Place = std::source_location;

struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

inline constexpr unsigned kWarp = 32;

// Who wrote an element of shared memory last and who read it since, and behind which barriers.
struct Access {
  uint32_t writer = 0;  // thread + 1; 0: not written
  uint32_t write_barrier = 0, write_warp_barrier = 0;
  uint32_t reader = 0;  // thread + 1; kSeveral: threads of several warps
  uint32_t read_barrier = 0, read_warp_barrier = 0;
  bool several_lanes = false;  // the reader is one of several of its warp
  bool atomic = false;         // written by an atomic: other atomics may follow
};

// The storage of one __shared__ array of the running block.
struct SharedStorage {
  const void* tag;
  std::vector<std::byte> bytes;
  std::vector<Access> accesses;  // one an element
};

class Machine {
 public:
  static Machine& instance();

  // threads: a multiple of 32, at most 1024. Throws what the kernel threw, or a Violation.
  void launch(Index grid, unsigned threads, size_t dynamic_bytes, const std::function<void()>& kernel);

  // For the running thread of the kernel.
  void barrier(Place place);
  void warp_barrier(Place place);
  // Gives all lanes of the warp `bits`; afterwards lane_bits(i) is what lane i gave.
  void exchange(uint64_t bits, Place place);
  uint64_t lane_bits(unsigned lane) const;
  unsigned lane() const { return current_ % kWarp; }

  SharedStorage& shared(const void* tag, size_t count, size_t element_bytes);
  SharedStorage& dynamic_shared(const void* tag, size_t element_bytes);
  void note_read(SharedStorage& storage, size_t index, Place place);
  void note_write(SharedStorage& storage, size_t index, bool atomic, Place place);

 private:
  enum class State { Ready, AtBarrier, InWarp, Finished };
  struct Thread {
    std::unique_ptr<Fiber> fiber;
    State state = State::Finished;
    bool warp_memory = false;  // waits in __syncwarp, which orders memory; a shuffle does not
    Place place;
    uint32_t exchanges = 0, warp_barriers = 0;
    uint64_t bits[2] = {};  // of this exchange and the one before, which a slower lane may not have read yet
  };

  void run_block();
  void run_warp(unsigned first);
  void release_barrier();
  void arrive_in_warp(bool memory, Place place);
  void check_warp_places(unsigned first) const;
  void wait();
  void cancel();
  void check_index(const SharedStorage& storage, size_t index, Place place) const;
  [[noreturn]] void fail(const std::string& what, Place place) const;
  std::string where(unsigned thread) const;
  bool ordered(uint32_t thread, uint32_t barrier, uint32_t warp_barrier) const;

  std::vector<Thread> threads_;  // made once, used by every launch
  unsigned num_threads_ = 0, current_ = 0, num_finished_ = 0;
  std::vector<unsigned> warp_arrivals_;
  uint32_t barriers_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  std::exception_ptr error_;
  bool cancelled_ = false, running_ = false;
  size_t dynamic_bytes_ = 0, shared_bytes_ = 0;
  std::vector<std::unique_ptr<SharedStorage>> shared_;
};

}  // namespace thinktune::simt

// CUDA's built-in variables.
extern thinktune::simt::Index threadIdx, blockIdx, blockDim, gridDim;
