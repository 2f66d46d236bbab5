#include "thinktune/core/clock.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

namespace thinktune::core {
namespace {

TEST(HumanDuration, ChangesUnitsWhereItsRoundedTextWould) {
  EXPECT_EQ(human_duration(0), "0.00 s");
  EXPECT_EQ(human_duration(0.42), "0.42 s");
  EXPECT_EQ(human_duration(9.99), "9.99 s");
  EXPECT_EQ(human_duration(9.999), "10.0 s");
  EXPECT_EQ(human_duration(12.34), "12.3 s");
  EXPECT_EQ(human_duration(59.94), "59.9 s");
  EXPECT_EQ(human_duration(59.96), "1 min 00 s");
  EXPECT_EQ(human_duration(200), "3 min 20 s");
  EXPECT_EQ(human_duration(3599.4), "59 min 59 s");
  EXPECT_EQ(human_duration(3599.6), "1 h 00 min");
  EXPECT_EQ(human_duration(7500), "2 h 05 min");
  EXPECT_EQ(human_duration(86399), "1 d 00 h");
  EXPECT_EQ(human_duration(97200), "1 d 03 h");
}

TEST(HumanDuration, DoesNotInventATime) {
  EXPECT_EQ(human_duration(-1), "unknown");
  EXPECT_EQ(human_duration(std::nan("")), "unknown");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::infinity()), "unknown");
}

TEST(UtcTimeStamp, IsIso8601) {
  using std::chrono::system_clock;
  EXPECT_EQ(utc_time_stamp(system_clock::from_time_t(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_time_stamp(system_clock::from_time_t(1709210096)), "2024-02-29T12:34:56Z");
  EXPECT_EQ(utc_time_stamp(system_clock::from_time_t(0) + std::chrono::milliseconds(1999)), "1970-01-01T00:00:01Z");
  EXPECT_EQ(utc_time_stamp(system_clock::from_time_t(0) - std::chrono::milliseconds(1)), "1969-12-31T23:59:59Z");
}

TEST(Stopwatch, MeasuresAndRestarts) {
  Stopwatch watch;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(watch.seconds(), 0.02);
  const double first_s = watch.restart();
  EXPECT_GE(first_s, 0.02);
  EXPECT_LT(watch.seconds(), first_s + 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_GE(watch.seconds(), 0.005);
}

}  // namespace
}  // namespace thinktune::core
