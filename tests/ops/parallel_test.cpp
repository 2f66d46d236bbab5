// at::parallel_for stands in a header: compiled without OpenMP it is a loop on one thread, and everything still passes.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

namespace thinktune::ops {
namespace {

TEST(Parallel, OurLoopsRunOnAllThreads) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::parallel_for(0, 3, 1, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(end - begin, 1);
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  EXPECT_EQ(threads.size(), 3u);
}

}  // namespace
}  // namespace thinktune::ops
