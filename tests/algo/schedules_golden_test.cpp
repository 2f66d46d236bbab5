// The teaching schedules and the trainer's switch against the public code's own.
#include <gtest/gtest.h>

#include "support/paths.h"
#include "thinktune/algo/teaching_schedule.h"

namespace thinktune::algo {
namespace {

using nlohmann::json;

ScheduleKind kind_named(const std::string& name) {
  if (name == "exp") return ScheduleKind::Exponential;
  for (const auto& [known, kind] : kScheduleNames)
    if (known == name) return kind;
  throw std::runtime_error("no schedule " + name);
}

TEST(SchedulesGolden, ValuesAndSwitch) {
  const auto path = thinktune::test::golden_folder() / "schedulers/schedules.json";
  TT_REQUIRE_FILE(path);
  const json golden = thinktune::test::read_json(path);
  EXPECT_EQ(golden.at("cases").size(), 36u);
  for (const json& c : golden.at("cases")) {
    SCOPED_TRACE(c.at("name").get<std::string>());
    const json &in = c.at("inputs"), &expected = c.at("expected");
    const int64_t steps = in.at("steps");
    const TeachingSchedule schedule(
        {.kind = kind_named(in.at("type")), .init = in.at("init"), .min = in.at("min"), .epsilon = in.at("eps")},
        steps);
    EXPECT_EQ(schedule.decay_steps(), expected.at("decay_steps").get<int64_t>());
    ASSERT_EQ(expected.at("values").size(), static_cast<size_t>(steps));
    for (int64_t t = 0; t < steps; ++t) {
      EXPECT_NEAR(schedule.value(t), expected.at("values").at(t), 1e-15) << t;
      EXPECT_EQ(schedule.teacher_on(t), expected.at("teacher_on").at(t) == 1) << t;
      const json& used = expected.at("fraction_used").at(t);
      EXPECT_EQ(schedule.teacher_on(t), !used.is_null()) << t;
      if (!used.is_null()) {
        EXPECT_NEAR(schedule.value(t), used, 1e-15) << t;
      }
    }
    const json& off = expected.at("turned_off_at_step");  // counted from 1
    EXPECT_EQ(schedule.turned_off_at(), off.is_null() ? steps : off.get<int64_t>() - 1);
  }
}

TEST(SchedulesGolden, GroupCounts) {
  const auto path = thinktune::test::golden_folder() / "schedulers/group_counts.json";
  TT_REQUIRE_FILE(path);
  const json golden = thinktune::test::read_json(path);
  EXPECT_EQ(golden.at("cases").size(), 221u);
  for (const json& c : golden.at("cases"))
    EXPECT_EQ(guided_count(c.at("eligible"), c.at("fraction")), c.at("guided").get<int64_t>()) << c.dump();
}

}  // namespace
}  // namespace thinktune::algo
