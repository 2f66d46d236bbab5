#include "src/comm/watchdog.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>

namespace thinktune::comm {
namespace {

using namespace std::chrono_literals;
using Clock = Watchdog::Clock;

// Waits for it, for ten seconds at most.
bool becomes(const std::atomic<int>& value, int expected) {
  for (int i = 0; i < 1000 && value != expected; ++i) std::this_thread::sleep_for(10ms);
  return value == expected;
}

TEST(Watchdog, AnOperationThatHangsIsToldOnceAndAfterItsLimit) {
  std::atomic<int> told = 0, told_of_the_other = 0;
  std::atomic<double> seconds = 0;
  const Clock::time_point start = Clock::now();
  Watchdog watchdog(200ms, 10ms);
  watchdog.watch({[] { return false; },
                  [&] {
                    seconds = std::chrono::duration<double>(Clock::now() - start).count();
                    ++told;
                  },
                  start});
  watchdog.watch({[] { return false; }, [&] { ++told_of_the_other; }, start});
  EXPECT_TRUE(becomes(told, 1));
  EXPECT_GE(seconds, 0.2);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(told_of_the_other, 0) << "one message names the cause";
}

TEST(Watchdog, WhatIsOverInTimeIsForgotten) {
  std::atomic<int> looked = 0, told = 0;
  {
    Watchdog watchdog(100ms, 10ms);
    watchdog.watch({[&] { return ++looked == 3; }, [&] { ++told; }, Clock::now()});
    EXPECT_TRUE(becomes(looked, 3));
    std::this_thread::sleep_for(300ms);
  }
  EXPECT_EQ(looked, 3);
  EXPECT_EQ(told, 0);
}

// Operations keep their tensors: they are let go when the next one begins, not when the watchdog happens to look.
TEST(Watchdog, WhatIsOverIsLetGoWhenAnotherBegins) {
  const auto memory = std::make_shared<int>(0);
  Watchdog watchdog(1h, 1h);
  for (int i = 0; i < 5; ++i) watchdog.watch({[memory] { return true; }, [] { FAIL(); }, Clock::now()});
  EXPECT_LE(memory.use_count(), 2);
}

// As a device that is lost answers.
TEST(Watchdog, AnOperationThatCannotBeAskedEndsNothing) {
  std::atomic<int> asked = 0, told = 0;
  Watchdog watchdog(50ms, 10ms);
  watchdog.watch({[&]() -> bool {
                    ++asked;
                    throw std::runtime_error("an illegal address");
                  },
                  [] { FAIL(); }, Clock::now()});
  EXPECT_TRUE(becomes(asked, 1));
  watchdog.watch({[] { return false; }, [&] { ++told; }, Clock::now()});
  EXPECT_TRUE(becomes(told, 1)) << "the watchdog goes on";
  EXPECT_EQ(asked, 1);
}

TEST(Watchdog, ItEndsWhileAnOperationHangs) {
  const Clock::time_point start = Clock::now();
  {
    Watchdog watchdog(1h, 10ms);
    watchdog.watch({[] { return false; }, [] { FAIL(); }, start});
  }
  EXPECT_LT(Clock::now() - start, 10s);
}

}  // namespace
}  // namespace thinktune::comm
