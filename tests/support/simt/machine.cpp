#include "support/simt/machine.h"

#include <algorithm>
#include <string>

thinktune::simt::Index threadIdx, blockIdx, blockDim, gridDim;

namespace thinktune::simt {
namespace {

constexpr uint32_t kSeveral = ~0u;
constexpr size_t kMaxSharedBytes = size_t{48} << 10;  // what a kernel gets without asking the driver for more

struct Cancelled {};  // unwinds the other threads of a block in which one failed

std::string text(Place place) { return std::string(place.file_name()) + ":" + std::to_string(place.line()); }

bool same(Place a, Place b) {
  return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
}

}  // namespace

Machine& Machine::instance() {
  static Machine* const machine = new Machine;  // never destroyed: waiting fibers have no end of their own
  return *machine;
}

void Machine::fail(const std::string& what, Place place) const {
  throw Violation(text(place) + ": block " + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) +
                  ", thread " + std::to_string(current_) + ": " + what);
}

std::string Machine::where(unsigned thread) const {
  const Thread& t = threads_[thread];
  const std::string name = "thread " + std::to_string(thread);
  switch (t.state) {
    case State::AtBarrier:
      return name + " is at the barrier " + text(t.place);
    case State::InWarp:
      return name + " is in the operation of its warp " + text(t.place);
    case State::Finished:
      return name + " has finished";
    case State::Ready:
      return name + " runs";
  }
  return name;
}

void Machine::launch(Index grid, unsigned threads, size_t dynamic_bytes, const std::function<void()>& kernel) {
  if (running_) throw Violation("a kernel launches a kernel");
  if (threads == 0 || threads % kWarp != 0 || threads > 1024)
    throw Violation("a block of " + std::to_string(threads) + " threads");
  if (grid.y > 65535 || grid.z > 65535) throw Violation("a grid of more than 65535 blocks in y or z");
  while (threads_.size() < threads) {
    threads_.emplace_back();
    threads_.back().fiber = std::make_unique<Fiber>([this](Fiber& fiber) {
      for (;;) {
        try {
          if (!cancelled_) (*kernel_)();
        } catch (const Cancelled&) {
        } catch (...) {
          if (!error_) error_ = std::current_exception();
        }
        threads_[current_].state = State::Finished;
        ++num_finished_;
        fiber.wait();
      }
    });
  }
  num_threads_ = threads;
  kernel_ = &kernel;
  dynamic_bytes_ = dynamic_bytes;
  gridDim = grid;
  blockDim = {threads, 1, 1};
  running_ = true;
  for (unsigned z = 0; z < grid.z && !error_; ++z)
    for (unsigned y = 0; y < grid.y && !error_; ++y)
      for (unsigned x = 0; x < grid.x && !error_; ++x) {
        blockIdx = {x, y, z};
        run_block();
      }
  running_ = false;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Machine::run_block() {
  barriers_ = 0;
  num_finished_ = 0;
  shared_.clear();
  shared_bytes_ = dynamic_bytes_;
  warp_arrivals_.assign(num_threads_ / kWarp, 0);
  for (unsigned t = 0; t < num_threads_; ++t) {
    threads_[t].state = State::Ready;
    threads_[t].exchanges = threads_[t].warp_barriers = 0;
  }
  try {
    while (num_finished_ < num_threads_) {
      for (unsigned first = 0; first < num_threads_ && !error_; first += kWarp) run_warp(first);
      if (error_) break;
      if (num_finished_ < num_threads_) release_barrier();
    }
  } catch (...) {
    error_ = std::current_exception();
  }
  if (error_) cancel();
}

// Runs the lanes of a warp until each has finished or is at the block's barrier.
void Machine::run_warp(unsigned first) {
  for (bool progress = true; progress && !error_;) {
    progress = false;
    for (unsigned t = first; t < first + kWarp && !error_; ++t) {
      if (threads_[t].state != State::Ready) continue;
      current_ = t;
      threadIdx = {t, 0, 0};
      threads_[t].fiber->resume();
      progress = true;
    }
  }
  if (error_) return;
  for (unsigned t = first; t < first + kWarp; ++t) {
    if (threads_[t].state != State::InWarp) continue;
    for (unsigned other = first; other < first + kWarp; ++other)
      if (threads_[other].state != State::InWarp)
        throw Violation("the threads of a warp part: " + where(t) + ", but " + where(other));
  }
}

void Machine::release_barrier() {
  for (unsigned t = 1; t < num_threads_; ++t)
    if (threads_[t].state != threads_[0].state || !same(threads_[t].place, threads_[0].place))
      throw Violation("the threads of a block part: " + where(0) + ", but " + where(t));
  ++barriers_;
  for (unsigned t = 0; t < num_threads_; ++t) threads_[t].state = State::Ready;
}

void Machine::cancel() {
  cancelled_ = true;
  for (unsigned t = 0; t < num_threads_; ++t) {
    if (threads_[t].state == State::Finished) continue;
    current_ = t;
    threads_[t].fiber->resume();
  }
  cancelled_ = false;
}

void Machine::wait() {
  Thread& thread = threads_[current_];
  if (!cancelled_) thread.fiber->wait();
  if (cancelled_) throw Cancelled{};
}

void Machine::barrier(Place place) {
  threads_[current_].state = State::AtBarrier;
  threads_[current_].place = place;
  wait();
}

void Machine::arrive_in_warp(bool memory, Place place) {
  Thread& thread = threads_[current_];
  thread.state = State::InWarp;
  thread.place = place;
  thread.warp_memory = memory;
  const unsigned warp = current_ / kWarp;
  if (++warp_arrivals_[warp] < kWarp) return wait();
  warp_arrivals_[warp] = 0;
  const unsigned first = warp * kWarp;
  for (unsigned t = first; t < first + kWarp; ++t)
    if (!same(threads_[t].place, place))
      fail("the threads of a warp part: " + where(current_) + ", but " + where(t), place);
  for (unsigned t = first; t < first + kWarp; ++t) {
    threads_[t].state = State::Ready;
    threads_[t].warp_barriers += threads_[t].warp_memory;
  }
  if (cancelled_) throw Cancelled{};
}

void Machine::warp_barrier(Place place) { arrive_in_warp(true, place); }

void Machine::exchange(uint64_t bits, Place place) {
  Thread& thread = threads_[current_];
  ++thread.exchanges;
  thread.bits[thread.exchanges % 2] = bits;
  arrive_in_warp(false, place);
}

uint64_t Machine::lane_bits(unsigned lane) const {
  const unsigned parity = threads_[current_].exchanges % 2;
  return threads_[current_ / kWarp * kWarp + lane].bits[parity];
}

SharedStorage& Machine::shared(const void* tag, size_t count, size_t element_bytes) {
  for (const auto& storage : shared_)
    if (storage->tag == tag) return *storage;
  shared_.push_back(std::make_unique<SharedStorage>());
  SharedStorage& storage = *shared_.back();
  storage.tag = tag;
  storage.bytes.resize(count * element_bytes);
  storage.accesses.resize(count);
  if (tag != this) shared_bytes_ += count * element_bytes;
  if (shared_bytes_ > kMaxSharedBytes)
    throw Violation("the kernel's shared memory is above " + std::to_string(kMaxSharedBytes) + " bytes");
  return storage;
}

SharedStorage& Machine::dynamic_shared(const void*, size_t element_bytes) {
  return shared(this, dynamic_bytes_ / element_bytes, element_bytes);
}

void Machine::check_index(const SharedStorage& storage, size_t index, Place place) const {
  if (cancelled_) throw Cancelled{};
  if (index >= storage.accesses.size())
    fail("shared element " + std::to_string(static_cast<int64_t>(index)) + " of an array of " +
             std::to_string(storage.accesses.size()),
         place);
}

// Whether what `thread` did behind so many barriers comes before what the running thread does now.
bool Machine::ordered(uint32_t thread, uint32_t barrier, uint32_t warp_barrier) const {
  if (barrier < barriers_) return true;
  if (thread == kSeveral) return false;
  if (thread - 1 == current_) return true;
  return (thread - 1) / kWarp == current_ / kWarp && warp_barrier < threads_[current_].warp_barriers;
}

void Machine::note_read(SharedStorage& storage, size_t index, Place place) {
  check_index(storage, index, place);
  Access& access = storage.accesses[index];
  if (access.writer == 0) fail("reads shared element " + std::to_string(index) + ", which nobody has written", place);
  if (!ordered(access.writer, access.write_barrier, access.write_warp_barrier))
    fail("reads shared element " + std::to_string(index) + ", which another thread wrote with no barrier between",
         place);
  const bool others = access.reader != 0 && access.reader != current_ + 1 && access.read_barrier == barriers_;
  const bool other_warp = others && (access.reader == kSeveral || (access.reader - 1) / kWarp != current_ / kWarp);
  const bool same_time = access.read_warp_barrier == threads_[current_].warp_barriers;
  if (access.reader == current_ + 1 && access.read_barrier == barriers_ && same_time) return;
  access.several_lanes = others && !other_warp && same_time;
  access.reader = other_warp ? kSeveral : current_ + 1;
  access.read_barrier = barriers_;
  access.read_warp_barrier = threads_[current_].warp_barriers;
}

void Machine::note_write(SharedStorage& storage, size_t index, bool atomic, Place place) {
  check_index(storage, index, place);
  Access& access = storage.accesses[index];
  const bool read_beside = access.several_lanes && access.read_barrier == barriers_ &&
                           access.read_warp_barrier == threads_[current_].warp_barriers;
  const bool read =
      access.reader != 0 && (read_beside || !ordered(access.reader, access.read_barrier, access.read_warp_barrier));
  const bool written = access.writer != 0 && !(atomic && access.atomic) &&
                       !ordered(access.writer, access.write_barrier, access.write_warp_barrier);
  if (read || written)
    fail("writes shared element " + std::to_string(index) + ", which another thread " + (read ? "read" : "wrote") +
             " with no barrier between",
         place);
  const bool mixed = atomic && access.atomic && access.write_barrier == barriers_ && access.writer != current_ + 1;
  access.writer = mixed ? kSeveral : current_ + 1;
  access.write_barrier = barriers_;
  access.write_warp_barrier = threads_[current_].warp_barriers;
  access.atomic = atomic;
}

}  // namespace thinktune::simt
