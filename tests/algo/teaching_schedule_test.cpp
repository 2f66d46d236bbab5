#include "thinktune/algo/teaching_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace thinktune::algo {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(TeachingSchedule, Linear) {
  const TeachingSchedule s({.init = 0.5, .min = 0.1, .epsilon = 0}, 30);
  EXPECT_EQ(s.decay_steps(), 10);
  EXPECT_DOUBLE_EQ(s.value(0), 0.5);
  EXPECT_DOUBLE_EQ(s.value(5), 0.3);
  EXPECT_DOUBLE_EQ(s.value(10), 0.1);
  EXPECT_DOUBLE_EQ(s.value(29), 0.1);
  EXPECT_EQ(s.turned_off_at(), 30);
}

TEST(TeachingSchedule, CosineAndExponentialAndConstant) {
  const TeachingSchedule cosine({.kind = ScheduleKind::Cosine, .init = 0.5, .min = 0.1}, 40);  // T = 13
  EXPECT_DOUBLE_EQ(cosine.value(0), 0.5);
  EXPECT_NEAR(cosine.value(4), 0.1 + 0.2 * (1 + std::cos(4 * M_PI / 13)), 1e-15);
  EXPECT_NEAR(cosine.value(39), 0.1, 1e-15);
  const TeachingSchedule exponential({.kind = ScheduleKind::Exponential, .init = 0.8, .min = 0.1}, 9);  // T = 3, g = ½
  EXPECT_NEAR(exponential.value(1), 0.4, 1e-15);
  EXPECT_NEAR(exponential.value(2), 0.2, 1e-15);
  EXPECT_EQ(exponential.value(3), 0.1);
  const TeachingSchedule constant({.kind = ScheduleKind::Constant, .init = 0.8, .min = 0.1}, 9);
  EXPECT_EQ(constant.value(8), 0.8);
}

TEST(TeachingSchedule, LengthOfTheDecay) {
  EXPECT_EQ(TeachingSchedule({.decay_divisor = 4}, 50).decay_steps(), 12);
  EXPECT_EQ(TeachingSchedule({.decay_divisor = 1}, 50).decay_steps(), 50);
  EXPECT_EQ(TeachingSchedule({.decay_divisor = 100}, 50).decay_steps(), 1);
  EXPECT_EQ(TeachingSchedule({}, 0).decay_steps(), 1);
  EXPECT_EQ(TeachingSchedule({}, 0).turned_off_at(), 0);
}

TEST(TeachingSchedule, TheTeacherLeavesForGood) {
  const TeachingSchedule s({.init = 0.1, .min = 0.01, .epsilon = 0.05}, 30);  // .1 − .009·t > .06 up to t = 4
  EXPECT_EQ(s.turned_off_at(), 5);
  EXPECT_TRUE(s.teacher_on(0));
  EXPECT_TRUE(s.teacher_on(4));
  for (int64_t t = 5; t < 30; ++t) EXPECT_FALSE(s.teacher_on(t)) << t;
  EXPECT_FALSE(s.teacher_on(30));
  // Never on, and on to the end.
  EXPECT_EQ(TeachingSchedule({.kind = ScheduleKind::Constant, .init = 0.06}, 10).turned_off_at(), 0);
  EXPECT_EQ(TeachingSchedule({.kind = ScheduleKind::Constant, .init = 0.07}, 10).turned_off_at(), 10);
}

TEST(TeachingSchedule, NegativeStepsAreABug) {
  EXPECT_THROW(TeachingSchedule({}, -1), core::Error);
  EXPECT_THROW(TeachingSchedule({}, 5).value(-1), core::Error);
}

TEST(GuidedCount, AtLeastOneOfTheEligibleAndAtMostAll) {
  EXPECT_EQ(guided_count(0, 1.0), 0);
  EXPECT_EQ(guided_count(5, 0.1), 1);
  EXPECT_EQ(guided_count(5, 0.0), 1);
  EXPECT_EQ(guided_count(8, 0.5), 4);
  EXPECT_EQ(guided_count(8, 0.99), 7);
  EXPECT_EQ(guided_count(8, 1.0), 8);
  EXPECT_THROW(guided_count(-1, 0.5), core::Error);
  EXPECT_THROW(guided_count(5, 1.5), core::Error);
}

TEST(ScheduleOptions, Validation) {
  const auto complaint = [](const ScheduleOptions& options, const std::string& field) {
    EXPECT_THAT([&] { validate(options); }, ThrowsMessage<core::Error>(HasSubstr(field)));
  };
  EXPECT_NO_THROW(validate(ScheduleOptions{}));
  complaint({.init = 0}, "schedule.init");
  complaint({.init = 1.5}, "schedule.init");
  complaint({.min = -0.1}, "schedule.min");
  complaint({.epsilon = 2}, "schedule.epsilon");
  complaint({.decay_divisor = 0}, "schedule.decay_divisor");
  EXPECT_THAT([] { validate(ScheduleOptions{.init = 0.1, .min = 0.2}); },
              ThrowsMessage<core::Error>(AllOf(HasSubstr("schedule.min is 0.2"), HasSubstr("schedule.init"))));
  complaint({.kind = ScheduleKind::Exponential, .min = 0, .epsilon = 0}, "exponential");
  EXPECT_NO_THROW(validate(ScheduleOptions{.kind = ScheduleKind::Linear, .min = 0, .epsilon = 0}));
}

}  // namespace
}  // namespace thinktune::algo
