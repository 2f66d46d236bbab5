#include "src/comm/watchdog.h"

#include <c10/core/impl/FakeGuardImpl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>

#include "src/comm/backends.h"

namespace thinktune::comm {
namespace {

using namespace std::chrono_literals;
using Clock = Watchdog::Clock;
using State = Watchdog::State;

// Waits for it, for ten seconds at most.
bool becomes(const std::atomic<int>& value, int expected) {
  for (int i = 0; i < 1000 && value != expected; ++i) std::this_thread::sleep_for(10ms);
  return value == expected;
}

TEST(Watchdog, AnOperationThatHangsIsToldOnceAndAfterItsLimit) {
  std::atomic<int> told = 0, told_of_the_other = 0;
  std::atomic<double> seconds = 0;
  const Clock::time_point start = Clock::now();
  Watchdog watchdog(10ms);
  watchdog.watch({[] { return State::Running; },
                  [&] {
                    seconds = std::chrono::duration<double>(Clock::now() - start).count();
                    ++told;
                  },
                  start + 200ms});
  watchdog.watch({[] { return State::Running; }, [&] { ++told_of_the_other; }, start + 200ms});
  EXPECT_TRUE(becomes(told, 1));
  EXPECT_GE(seconds, 0.2);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(told_of_the_other, 0) << "one message names the cause";
}

TEST(Watchdog, WhatIsOverInTimeIsForgotten) {
  std::atomic<int> looked = 0, told = 0;
  {
    Watchdog watchdog(10ms);
    watchdog.watch(
        {[&] { return ++looked == 3 ? State::Over : State::Running; }, [&] { ++told; }, Clock::now() + 100ms});
    EXPECT_TRUE(becomes(looked, 3));
    std::this_thread::sleep_for(300ms);
  }
  EXPECT_EQ(looked, 3);
  EXPECT_EQ(told, 0);
}

// Operations keep their tensors: they are let go when the next one begins, not when the watchdog happens to look.
TEST(Watchdog, WhatIsOverIsLetGoWhenAnotherBegins) {
  const auto memory = std::make_shared<int>(0);
  Watchdog watchdog(1h);
  for (int i = 0; i < 5; ++i) watchdog.watch({[memory] { return State::Over; }, [] { FAIL(); }, Clock::now() + 1h});
  EXPECT_LE(memory.use_count(), 2);
}

// As a device that is lost answers.
TEST(Watchdog, AnOperationThatCannotBeAskedEndsNothing) {
  std::atomic<int> asked = 0, told = 0;
  Watchdog watchdog(10ms);
  watchdog.watch({[&]() -> State {
                    ++asked;
                    throw std::runtime_error("an illegal address");
                  },
                  [] { FAIL(); }, Clock::now() + 50ms});
  EXPECT_TRUE(becomes(asked, 1));
  watchdog.watch({[] { return State::Running; }, [&] { ++told; }, Clock::now() + 50ms});
  EXPECT_TRUE(becomes(told, 1)) << "the watchdog goes on";
  EXPECT_EQ(asked, 1);
}

TEST(Watchdog, ItEndsWhileAnOperationHangs) {
  const Clock::time_point start = Clock::now();
  {
    Watchdog watchdog(10ms);
    watchdog.watch({[] { return State::Running; }, [] { FAIL(); }, start + 1h});
  }
  EXPECT_LT(Clock::now() - start, 10s);
}

// As of a rank whose connection is lost: long before the time-out.
TEST(Watchdog, AnOperationThatHasFailedIsToldAtOnce) {
  std::atomic<int> told = 0;
  Watchdog watchdog(10ms);
  watchdog.watch({[] { return State::Running; }, [] { FAIL(); }, Clock::now() + 1h});
  watchdog.watch({[] { return State::Failed; }, [&] { ++told; }, Clock::now() + 1h});
  EXPECT_TRUE(becomes(told, 1));
}

struct StartedWork final : c10d::Work {
  using Work::finish;
};

TEST(Watchdog, WorkThatHasFailedIsNotOver) {
  StartedWork running, over, failed;
  over.finish();
  failed.finish(std::make_exception_ptr(std::runtime_error("remote process exited")));
  EXPECT_EQ(state_of(running), State::Running);
  EXPECT_EQ(state_of(over), State::Over);
  ASSERT_TRUE(failed.isCompleted()) << "as it says of itself";
  EXPECT_EQ(state_of(failed), State::Failed);
}

}  // namespace
}  // namespace thinktune::comm

// A device of which every thread has a current one, as a GPU.
namespace c10::impl {
namespace {
C10_REGISTER_GUARD_IMPL(PrivateUse1, FakeGuardImpl<DeviceType::PrivateUse1>);
}  // namespace
}  // namespace c10::impl

namespace thinktune::comm {
namespace {

TEST(Watchdog, ItLooksFromItsOwnDevice) {
  using Guard = c10::impl::FakeGuardImpl<c10::DeviceType::PrivateUse1>;
  std::atomic<int> device = -1;
  Watchdog watchdog(10ms, c10::Device(c10::DeviceType::PrivateUse1, 3));
  watchdog.watch({[&] {
                    device = Guard::getDeviceIndex();
                    return State::Running;
                  },
                  [] { FAIL(); }, Clock::now() + 1h});
  EXPECT_TRUE(becomes(device, 3));
  EXPECT_EQ(Guard::getDeviceIndex(), 0) << "the device of this thread";
}

}  // namespace
}  // namespace thinktune::comm
