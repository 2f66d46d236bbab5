#include "thinktune/core/for_each_index.h"

#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <set>
#include <stdexcept>

namespace thinktune::core {
namespace {

TEST(ForEachIndex, TakesEachOnce) {
  for (const int64_t threads : {0, 1, 2, 7})
    for (const int64_t n : {0, 1, 3, 1000}) {
      std::vector<std::atomic<int>> times(static_cast<size_t>(n));
      for_each_index(n, threads, [&](int64_t i) { ++times[static_cast<size_t>(i)]; });
      for (const std::atomic<int>& count : times) EXPECT_EQ(count, 1);
    }
}

TEST(ForEachIndex, WorksOnAsManyThreadsAsItIsGiven) {
  std::barrier all(3);  // nobody passes it alone
  std::mutex mutex;
  std::set<std::thread::id> threads;
  for_each_index(3, 3, [&](int64_t) {
    all.arrive_and_wait();
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 3U);
  EXPECT_TRUE(threads.contains(std::this_thread::get_id()));
}

TEST(ForEachIndex, HandsOnAnErrorAndBeginsNothingAfterIt) {
  for (const int64_t threads : {1, 3}) {
    std::atomic<int> num_begun = 0;
    EXPECT_THROW(for_each_index(1'000'000, threads,
                                [&](int64_t i) {
                                  ++num_begun;
                                  if (i == 5) throw std::runtime_error("five");
                                  std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                }),
                 std::runtime_error);
    EXPECT_LT(num_begun, 100'000) << "all would take minutes";
  }
}

}  // namespace
}  // namespace thinktune::core
