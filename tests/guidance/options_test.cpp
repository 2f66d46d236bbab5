#include "thinktune/guidance/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "thinktune/core/error.h"

namespace thinktune::guidance {
namespace {

using ::testing::HasSubstr;

std::string message_of(const GuidanceOptions& options) {
  return thinktune::test::message_of_error(core::ErrorKind::User, [&] { validate(options); });
}

TEST(Options, DefaultsAreThePublishedMethod) {
  const GuidanceOptions o;
  EXPECT_NO_THROW(validate(o));
  EXPECT_TRUE(o.enabled);
  EXPECT_EQ(o.schedule.kind, algo::ScheduleKind::Linear);
  EXPECT_EQ(o.schedule.init, 0.1);
  EXPECT_EQ(o.schedule.min, 0.01);
  EXPECT_EQ(o.selection, Selection::Group);
  EXPECT_EQ(o.select, Select::Random);
  EXPECT_EQ(o.opinion, Opinion::Model);
  EXPECT_EQ(o.teacher_sees, TeacherSees::Nothing);
  EXPECT_EQ(o.format, Format::Free);
  EXPECT_EQ(o.loss_on, LossOn::WholeTrajectory);
  EXPECT_EQ(o.use, Use::Splice);
  EXPECT_EQ(o.response_limit, 0);
  EXPECT_EQ(o.prompt_file, "");
  EXPECT_EQ(o.max_teacher_prompt_tokens, 3072);
  EXPECT_EQ(o.max_reply_tokens, 1024);
  EXPECT_EQ(o.max_used_reply_tokens, 512);
  EXPECT_FALSE(o.repeat_question);
  EXPECT_FALSE(o.guard.enabled);
}

TEST(Options, EveryRangeIsChecked) {
  const auto broken = [](auto change) {
    GuidanceOptions options;
    change(options);
    return message_of(options);
  };
  EXPECT_THAT(broken([](auto& o) { o.per_group = 0; }), HasSubstr("guidance.per_group is 0"));
  EXPECT_THAT(broken([](auto& o) { o.response_limit = -1; }), HasSubstr("guidance.response_limit is -1"));
  EXPECT_THAT(broken([](auto& o) { o.max_teacher_prompt_tokens = 0; }),
              HasSubstr("guidance.max_teacher_prompt_tokens"));
  EXPECT_THAT(broken([](auto& o) { o.max_reply_tokens = 0; }), HasSubstr("guidance.max_reply_tokens"));
  EXPECT_THAT(broken([](auto& o) { o.max_used_reply_tokens = 0; }), HasSubstr("guidance.max_used_reply_tokens"));
  EXPECT_THAT(broken([](auto& o) { o.max_reason_tokens = 0; }), HasSubstr("guidance.max_reason_tokens"));
  EXPECT_THAT(broken([](auto& o) { o.max_phrase_tokens = 0; }), HasSubstr("guidance.max_phrase_tokens"));
  EXPECT_THAT(broken([](auto& o) { o.schedule.init = 1.5; }), HasSubstr("guidance.schedule.init is 1.5"));
  EXPECT_THAT(broken([](auto& o) { o.guard.max_drop = 0; }), HasSubstr("guidance.guard.max_drop is 0"));
  EXPECT_THAT(broken([](auto& o) { o.guard.window = 0; }), HasSubstr("guidance.guard.window"));
  EXPECT_THAT(broken([](auto& o) { o.guard.pause_steps = 0; }), HasSubstr("guidance.guard.pause_steps"));
}

TEST(Options, ContradictionsAreRefused) {
  GuidanceOptions options;
  options.select = Select::GroupsWithoutSuccess;
  EXPECT_NO_THROW(validate(options));
  options.per_group = 3;
  EXPECT_NO_THROW(validate(options));
  options.selection = Selection::Global;
  EXPECT_THAT(message_of(options), HasSubstr("guidance.selection is global"));

  GuidanceOptions ignored;
  ignored.per_group = 2;
  EXPECT_THAT(message_of(ignored), HasSubstr("guidance.per_group is 2, but guidance.select is random"));
}

TEST(Options, TheSelectionIsSaidInWords) {
  GuidanceOptions options;
  EXPECT_THAT(describe_selection(options, 5), HasSubstr("share of 0.1"));
  EXPECT_THAT(describe_selection(options, 5), HasSubstr("1 of 5, 20 % of the rollouts"));
  EXPECT_THAT(describe_selection(options, 40), HasSubstr("4 of 40, 10 % of the rollouts"));
  options.select = Select::Wrong;
  EXPECT_THAT(describe_selection(options, 5), HasSubstr("wrong"));
  options.selection = Selection::Global;
  EXPECT_THAT(describe_selection(options, 5), HasSubstr("of the batch's"));
  options.selection = Selection::Group;
  options.select = Select::GroupsWithoutSuccess;
  EXPECT_THAT(describe_selection(options, 5),
              HasSubstr("1 of 5 rollouts in every group in which none earned a reward"));
  options.enabled = false;
  EXPECT_EQ(describe_selection(options, 5), "guidance: off");
}

}  // namespace
}  // namespace thinktune::guidance
