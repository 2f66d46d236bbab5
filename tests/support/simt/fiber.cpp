#include "support/simt/fiber.h"

#include <boost/context/protected_fixedsize_stack.hpp>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace thinktune::simt {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;  // touched as far as used; sanitizers need several times a kernel's

// Hands out one stack that was made before, so that its bounds are known.
struct GivenStack {
  boost::context::stack_context stack;
  boost::context::stack_context allocate() { return stack; }
  void deallocate(boost::context::stack_context&) {}
};

}  // namespace

Fiber::Fiber(std::function<void(Fiber&)> body) {
  boost::context::protected_fixedsize_stack allocator(kStackBytes);
  const boost::context::stack_context stack = allocator.allocate();
  stack_ = static_cast<char*>(stack.sp) - stack.size;
  stack_bytes_ = stack.size;
  own_ = boost::context::fiber(std::allocator_arg, GivenStack{stack},
                               [this, body = std::move(body)](boost::context::fiber&& scheduler) {
                                 scheduler_ = std::move(scheduler);
                                 arrive_in_fiber();
                                 body(*this);
                                 return std::move(scheduler_);
                               });
}

void Fiber::leave_scheduler() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack_, stack_, stack_bytes_);
#endif
}

void Fiber::arrive_in_fiber() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

void Fiber::resume() {
  leave_scheduler();
  own_ = std::move(own_).resume();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::wait() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, scheduler_stack_, scheduler_stack_bytes_);
#endif
  scheduler_ = std::move(scheduler_).resume();
  arrive_in_fiber();
}

}  // namespace thinktune::simt
