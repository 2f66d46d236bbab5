#include "thinktune/core/batch_worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <numeric>
#include <stdexcept>

namespace thinktune::core {
namespace {

TEST(BatchWorker, HandlesEveryItemOnceInOrder) {
  std::vector<int> handled;
  size_t num_batches = 0;
  BatchWorker<int> worker([&](const std::vector<int>& batch) {
    ++num_batches;
    handled.insert(handled.end(), batch.begin(), batch.end());
  });
  for (int i = 0; i < 1000; ++i) worker.add(i);
  worker.finish();
  std::vector<int> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(handled, all);
  EXPECT_GE(num_batches, 1U);
}

TEST(BatchWorker, WorksBesideTheCallerAndTakesAllThatWaitsAtOnce) {
  std::promise<void> first_began, go_on;
  std::vector<std::vector<int>> batches;
  BatchWorker<int> worker([&](const std::vector<int>& batch) {
    batches.push_back(batch);
    if (batches.size() > 1) return;
    first_began.set_value();
    go_on.get_future().wait();
  });
  worker.add(1);
  first_began.get_future().wait();
  worker.add(2);
  worker.add(3);
  go_on.set_value();
  worker.finish();
  EXPECT_EQ(batches, (std::vector<std::vector<int>>{{1}, {2, 3}}));
}

TEST(BatchWorker, HandsAnErrorToTheCallerAndHandlesNothingAfterIt) {
  std::atomic<int> num_handled = 0;
  std::promise<void> thrown;
  BatchWorker<int> worker([&](const std::vector<int>&) {
    ++num_handled;
    thrown.set_value();
    throw std::runtime_error("no reply");
  });
  worker.add(1);
  thrown.get_future().wait();
  const auto add_until_it_throws = [&] {
    for (;;) worker.add(2);  // the thread may still be on its way to where it notes the error
  };
  EXPECT_THROW(add_until_it_throws(), std::runtime_error);
  EXPECT_THROW(worker.finish(), std::runtime_error);
  EXPECT_EQ(num_handled, 1);
}

TEST(BatchWorker, LeavesWhatNobodyHasBegunWhenItIsDestroyed) {
  std::atomic<int> num_handled = 0;
  std::promise<void> began, go_on;
  std::thread release;
  {
    BatchWorker<int> worker([&](const std::vector<int>&) {
      if (num_handled++ > 0) return;
      began.set_value();
      go_on.get_future().wait();
    });
    worker.add(1);
    began.get_future().wait();
    worker.add(2);
    release = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      go_on.set_value();
    });
  }
  release.join();
  EXPECT_EQ(num_handled, 1);
}

}  // namespace
}  // namespace thinktune::core
