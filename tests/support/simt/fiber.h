// A thread of a CUDA block as a fiber (Boost.Context): it runs until it waits, and goes on where it stopped.
// AddressSanitizer is told of every change of stack.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <functional>

namespace thinktune::simt {

class Fiber {
 public:
  // body never returns; it calls wait() between one piece of work and the next.
  explicit Fiber(std::function<void(Fiber&)> body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume();  // by the scheduler: until the fiber's next wait()
  void wait();    // by the fiber

 private:
  void leave_scheduler();
  void arrive_in_fiber();

  boost::context::fiber own_, scheduler_;
  void* stack_ = nullptr;  // lowest address
  size_t stack_bytes_ = 0;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
  void* fake_stack_ = nullptr;            // AddressSanitizer's, while the fiber waits
  void* scheduler_fake_stack_ = nullptr;  // while the fiber runs
};

}  // namespace thinktune::simt
