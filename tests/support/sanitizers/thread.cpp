// What ThreadSanitizer is told, in every program of the preset "tsan".
//
// LibTorch and libgomp are built without it. What LibTorch does by itself is not seen but where it copies or frees
// memory. How libgomp's threads wait for each other is not seen either: every loop on several threads would look like a
// race. So the call that g++ makes of `#pragma omp parallel`, and so of at::parallel_for, goes through this file, which
// states what it promises: the threads see what was written before it, and its caller sees what they have written. Two
// threads of one loop that meet are found as ever.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

struct Region {
  void (*body)(void*);
  void* argument;
  char begun = 0, ended = 0;  // only their addresses matter
};

void run(void* given) {
  auto& region = *static_cast<Region*>(given);
  __tsan_acquire(&region.begun);
  region.body(region.argument);
  __tsan_release(&region.ended);
}

}  // namespace

extern "C" {

void GOMP_parallel(void (*body)(void*), void* argument, unsigned num_threads, unsigned flags) {
  static const auto libgomp = reinterpret_cast<decltype(&GOMP_parallel)>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, argument};
  __tsan_release(&region.begun);
  libgomp(run, &region, num_threads, flags);
  __tsan_acquire(&region.ended);
}

// Memory that is refused is an answer: tests ask for more than there is.
const char* __tsan_default_options() { return "die_after_fork=0:allocator_may_return_null=1"; }

// Who is the last to let go of one of Gloo's operations, and frees it and its tensors, is settled by counts in
// LibTorch's own code, which are not seen.
const char* __tsan_default_suppressions() {
  return "race:c10d::ProcessGroupGloo::runLoop\n"
         "race:c10d::*Async*Work::~Async\n"
         "race:torch::autograd::DifferentiableViewMeta::~DifferentiableViewMeta\n"
         "race:c10::TensorImpl::~TensorImpl\n"
         "race:c10::intrusive_ptr<c10::StorageImpl*::reset_not_null_\n"
         "race:gloo::*::~\n"
         "race:std::vector<std::vector<at::Tensor*::~vector\n";
}
}
