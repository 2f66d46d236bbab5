#include "thinktune/guidance/guidance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guidance/fakes.h"
#include "thinktune/core/error.h"

namespace thinktune::guidance {
namespace {

using namespace test;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kGood = "<opinion>incorrect</opinion><reason>no</reason>\n<phrase>add</phrase>";

GuideSetup setup(int64_t num_steps = 30) {
  return {
      .seed = 5, .num_steps = num_steps, .group_size = 5, .response_limit = 64, .end_of_turn_ids = {kEnd, kOtherEnd}};
}

GuidanceOptions always(double share = 0.1) {
  GuidanceOptions options;
  options.schedule.kind = algo::ScheduleKind::Constant;
  options.schedule.init = share;
  options.schedule.min = share;
  return options;
}

const ByteTokenizer kTokenizer;

// One step on these groups.
GuidanceReport one_step(std::vector<Group>& groups, Teacher& teacher, const GuidanceOptions& options = always(),
                        int64_t step = 0) {
  Guide guide(options, setup(), kTokenizer, teacher);
  return guide.guide(groups, step);
}

int64_t total(const std::map<std::string, int64_t>& outcomes) {
  int64_t sum = 0;
  for (const auto& [name, count] : outcomes) sum += count;
  return sum;
}

TEST(Guide, GuidesOneOfFive) {
  std::vector<Group> groups = {plain_group(1, 5, 2), plain_group(2, 5)};
  const std::vector<Group> before = groups;
  ScriptedTeacher teacher(kGood);
  const GuidanceReport report = one_step(groups, teacher);
  EXPECT_TRUE(report.teacher_on);
  EXPECT_EQ(report.num_groups, 2);
  EXPECT_EQ(report.num_rollouts, 10);
  EXPECT_EQ(report.num_eligible, 10);
  EXPECT_EQ(report.num_selected, 2);
  EXPECT_EQ(report.num_asked, 2);
  EXPECT_EQ(report.num_replies_valid, 2);
  EXPECT_EQ(report.num_guided, 2);
  EXPECT_EQ(report.guided_share, 0.2);
  EXPECT_EQ(report.scheduled_share, 0.1);
  EXPECT_EQ(report.ended_share, 1.0);
  EXPECT_EQ(report.outcomes, (std::map<std::string, int64_t>{{"guided", 2}}));
  EXPECT_EQ(teacher.num_calls, 1);  // one batch a step
  for (size_t g = 0; g < groups.size(); ++g) {
    int guided = 0;
    for (size_t i = 0; i < groups[g].rollouts.size(); ++i) {
      const Rollout& rollout = groups[g].rollouts[i];
      const Rollout& old = before[g].rollouts[i];
      if (!rollout.guidance.guided) {
        EXPECT_EQ(rollout.ids, old.ids);
        EXPECT_EQ(rollout.guidance.outcome, "");
        continue;
      }
      ++guided;
      EXPECT_EQ(rollout.text, old.text + "\n\nno\n\nadd");
      EXPECT_EQ(rollout.guidance.outcome, "guided");
      EXPECT_EQ(rollout.guidance.opinion, "incorrect");
      EXPECT_EQ(rollout.guidance.teacher_reply, kGood);
      EXPECT_EQ(rollout.guidance.before.verdict, old.judgement.verdict);
      EXPECT_EQ(rollout.guidance.before.reward, old.judgement.reward);
      EXPECT_EQ(rollout.judgement.verdict, old.judgement.verdict);  // judging again is the caller's
    }
    EXPECT_EQ(guided, 1);
  }
}

TEST(Guide, EveryReplyThatIsNotInFormIsCountedByReasonAndLeavesTheRollout) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"not_ended", ""},
      {"missing_opinion", "The student is right."},
      {"missing_reason", "<opinion>correct</opinion><phrase>b</phrase>"},
      {"missing_phrase", "<opinion>correct</opinion><reason>a</reason>"},
      {"repeated_tag", kGood + kGood},
      {"wrong_order", "<reason>a</reason><opinion>correct</opinion><phrase>b</phrase>"},
      {"text_outside_tags", kGood + " Bye."},
      {"bad_opinion", "<opinion>perhaps</opinion><reason>a</reason><phrase>b</phrase>"},
      {"empty_reason", "<opinion>correct</opinion><reason> </reason><phrase>b</phrase>"},
      {"empty_phrase", "<opinion>correct</opinion><reason>a</reason><phrase></phrase>"}};
  EXPECT_EQ(cases.size(), kReplyErrorNames.size() - 1);
  for (const auto& [outcome, text] : cases) {
    SCOPED_TRACE(outcome);
    std::vector<Group> groups = {plain_group(1, 1)};
    const Rollout before = groups[0].rollouts[0];
    ScriptedTeacher teacher(text, outcome != "not_ended");
    const GuidanceReport report = one_step(groups, teacher);
    const Rollout& rollout = groups[0].rollouts[0];
    EXPECT_EQ(rollout.guidance.outcome, outcome);
    EXPECT_FALSE(rollout.guidance.guided);
    EXPECT_EQ(rollout.guidance.teacher_reply, text);
    EXPECT_EQ(rollout.guidance.opinion, "");
    EXPECT_EQ(rollout.ids, before.ids);
    EXPECT_EQ(rollout.text, before.text);
    EXPECT_EQ(report.outcomes, (std::map<std::string, int64_t>{{outcome, 1}}));
    EXPECT_EQ(report.num_selected, 1);
    EXPECT_EQ(report.num_replies_valid, 0);
    EXPECT_EQ(report.num_guided, 0);
    EXPECT_EQ(report.guided_share, 0.0);
  }
}

TEST(Guide, OutcomesAddUp) {
  std::vector<Group> groups = {plain_group(1, 6)};
  int calls = 0;
  ScriptedTeacher teacher([&](const TeacherRequest&) { return TeacherReply{calls++ % 2 == 0 ? kGood : "odd", true}; });
  const GuidanceReport report = one_step(groups, teacher, always(1.0));
  EXPECT_EQ(report.num_selected, 6);
  EXPECT_EQ(report.outcomes, (std::map<std::string, int64_t>{{"guided", 3}, {"missing_opinion", 3}}));
  EXPECT_EQ(total(report.outcomes), report.num_selected);
}

TEST(Guide, NoEligibleRolloutAsksNobody) {
  std::vector<Group> groups = {group_of(1, {cut_rollout("a"), ended_rollout("")}), group_of(2, {})};
  ScriptedTeacher teacher(kGood);
  const GuidanceReport report = one_step(groups, teacher);
  EXPECT_EQ(report.num_eligible, 0);
  EXPECT_EQ(report.num_empty, 1);
  EXPECT_EQ(report.num_groups_without_eligible, 2);
  EXPECT_EQ(report.num_selected, 0);
  EXPECT_EQ(report.ended_share, 0.5);
  EXPECT_EQ(teacher.num_calls, 0);
  std::vector<Group> none;
  EXPECT_EQ(one_step(none, teacher).num_rollouts, 0);
}

TEST(Guide, WhatTheTeacherIsShown) {
  std::vector<Group> groups = {group_of(7, {ended_rollout(" my answer \n")})};
  ScriptedTeacher teacher(kGood);
  GuidanceOptions options = always();
  one_step(groups, teacher, options);
  options.teacher_sees = TeacherSees::Answer;
  groups = {group_of(7, {ended_rollout("mine")})};
  one_step(groups, teacher, options);
  options.teacher_sees = TeacherSees::Solution;
  options.repeat_question = true;
  groups = {group_of(7, {ended_rollout("mine")})};
  one_step(groups, teacher, options);
  ASSERT_EQ(teacher.seen.size(), 3u);
  for (const TeacherRequest& request : teacher.seen) {
    ASSERT_EQ(request.messages.size(), 1u);
    EXPECT_EQ(request.messages[0].role, "user");
    EXPECT_EQ(request.forced_opinion, "");
  }
  EXPECT_EQ(teacher.seen[0].messages[0].content, "Question:\nWhat is 1 + 7?\n\nStudent's response:\nmy answer");
  EXPECT_THAT(teacher.seen[1].messages[0].content, HasSubstr("Correct answer:\n8"));
  EXPECT_THAT(teacher.seen[2].messages[0].content, HasSubstr("Worked solution:\nWe add: \\boxed{8}."));
  EXPECT_THAT(teacher.seen[2].messages[0].content, testing::EndsWith("Question:\nWhat is 1 + 7?"));
}

TEST(Guide, WithoutASolutionToShowNobodyIsAsked) {
  std::vector<Group> groups = {plain_group(1, 1), plain_group(2, 1)};
  groups[0].prompt.solution = "";
  ScriptedTeacher teacher(kGood);
  GuidanceOptions options = always();
  options.teacher_sees = TeacherSees::Solution;
  LogCapture log;
  Guide guide(options, setup(), kTokenizer, teacher);
  const GuidanceReport report = guide.guide(groups, 0);
  EXPECT_EQ(report.num_selected, 2);
  EXPECT_EQ(report.num_asked, 1);
  EXPECT_EQ(report.outcomes, (std::map<std::string, int64_t>{{"guided", 1}, {"no_solution", 1}}));
  EXPECT_EQ(groups[0].rollouts[0].guidance.outcome, "no_solution");
  EXPECT_THAT(log.text(),
              HasSubstr("warning guidance: 1 of 2 selected rollouts belong to problems without the solution"));
  log.clear();
  groups = {plain_group(1, 1)};
  groups[0].prompt.solution = "";
  guide.guide(groups, 1);
  EXPECT_EQ(log.text(), "");  // said once
}

TEST(Guide, TheVerifiersOpinionIsForced) {
  std::vector<Group> groups = {
      group_of(1, {ended_rollout("a", true), ended_rollout("b", false), ended_rollout("c", false)})};
  groups[0].rollouts[2].judgement.verdict = Verdict::Unparsed;
  ScriptedTeacher teacher([](const TeacherRequest& request) {
    return TeacherReply{format_reply(request.forced_opinion, "a", "b"), true};
  });
  GuidanceOptions options = always(1.0);
  options.opinion = Opinion::Verifier;
  const GuidanceReport report = one_step(groups, teacher, options);
  ASSERT_EQ(teacher.seen.size(), 3u);
  EXPECT_EQ(teacher.seen[0].forced_opinion, "correct");
  EXPECT_EQ(teacher.seen[1].forced_opinion, "incorrect");
  EXPECT_EQ(teacher.seen[2].forced_opinion, "incorrect");
  EXPECT_EQ(report.num_opinions_agree, 3);
}

TEST(Guide, AgreementWithTheVerifier) {
  std::vector<Group> groups = {plain_group(1, 10, 3)};
  ScriptedTeacher teacher(kGood);  // always "incorrect"
  const GuidanceReport report = one_step(groups, teacher, always(1.0));
  EXPECT_EQ(report.num_replies_valid, 10);
  EXPECT_EQ(report.num_opinions_agree, 7);
}

TEST(Guide, CutsAreCounted) {
  GuidanceOptions options = always(1.0);
  options.response_limit = 6;  // of its own, below the run's
  options.max_used_reply_tokens = 5;
  std::vector<Group> groups = {group_of(1, {ended_rollout("a"), ended_rollout("ab"), ended_rollout("abcdef")})};
  ScriptedTeacher teacher(kGood);
  const GuidanceReport report = one_step(groups, teacher, options);
  EXPECT_EQ(report.num_guided, 2);
  EXPECT_EQ(report.num_cut, 2);  // 1 + 5 + end of turn is 7 already
  EXPECT_EQ(report.num_replies_cut, 2);
  EXPECT_EQ(report.outcomes, (std::map<std::string, int64_t>{{"guided", 2}, {"no_room", 1}}));
  EXPECT_FALSE(groups[0].rollouts[2].guidance.guided);
  EXPECT_EQ(groups[0].rollouts[2].text, "abcdef");
  EXPECT_EQ(groups[0].rollouts[0].finish, Finish::Length);

  options.response_limit = 0;  // the run's, 64
  groups = {group_of(1, {ended_rollout("a")})};
  EXPECT_EQ(one_step(groups, teacher, options).num_cut, 0);
  options.response_limit = 7;
  groups = {group_of(1, {ended_rollout("a")})};
  EXPECT_EQ(one_step(groups, teacher, options).num_cut, 0);
}

TEST(Guide, AResponseLimitOfItsOwnCanBeLongerThanTheRuns) {
  GuidanceOptions options = always(1.0);
  options.response_limit = 200;
  std::vector<Group> groups = {group_of(1, {ended_rollout(std::string(62, 'x'))})};
  ScriptedTeacher teacher(kGood);
  EXPECT_EQ(one_step(groups, teacher, options).num_cut, 0);
  EXPECT_GT(groups[0].rollouts[0].ids.size(), 64u);
}

TEST(Guide, ReplacesTheResponse) {
  GuidanceOptions options = always(1.0);
  options.use = Use::Replace;
  std::vector<Group> groups = {plain_group(1, 1)};
  ScriptedTeacher teacher(kGood);
  one_step(groups, teacher, options);
  EXPECT_EQ(groups[0].rollouts[0].text, "add");
  EXPECT_EQ(groups[0].rollouts[0].ids.back(), kEnd);
}

TEST(Guide, OffMeansNothingHappens) {
  GuidanceOptions options = always();
  options.enabled = false;
  std::vector<Group> groups = {plain_group(1, 5)};
  groups[0].rollouts[0].guidance.outcome = "of an earlier step";
  ScriptedTeacher teacher(kGood);
  Guide guide(options, setup(), kTokenizer, teacher);
  EXPECT_FALSE(guide.needs_teacher(0));
  const GuidanceReport report = guide.guide(groups, 0);
  EXPECT_FALSE(report.teacher_on);
  EXPECT_EQ(report.num_rollouts, 5);
  EXPECT_EQ(report.num_selected, 0);
  EXPECT_EQ(teacher.num_calls, 0);
  EXPECT_EQ(groups[0].rollouts[0].guidance.outcome, "");
}

TEST(Guide, TheTeacherLeavesForGood) {
  GuidanceOptions options;  // linear .1 → .01 over ten of thirty steps, off at .06: value(4) = .064, value(5) = .055
  ScriptedTeacher teacher(kGood);
  LogCapture log;
  Guide guide(options, setup(30), kTokenizer, teacher);
  EXPECT_THAT(log.text(), HasSubstr("1 of 5, 20 % of the rollouts"));
  EXPECT_THAT(log.text(), HasSubstr("the teacher leaves at step 5 of 30"));
  for (int64_t step = 0; step < 30; ++step) {
    std::vector<Group> groups = {plain_group(static_cast<uint64_t>(step), 5)};
    const GuidanceReport report = guide.guide(groups, step);
    EXPECT_EQ(report.teacher_on, step < 5) << step;
    EXPECT_EQ(report.num_guided, step < 5 ? 1 : 0);
    EXPECT_EQ(guide.needs_teacher(step), step < 5);
  }
  EXPECT_EQ(teacher.num_calls, 5);
}

TEST(Guide, GroupsWithoutSuccessNeedNoSchedule) {
  GuidanceOptions options;  // the same schedule, whose teacher leaves at step 5
  options.select = Select::GroupsWithoutSuccess;
  ScriptedTeacher teacher(kGood);
  Guide guide(options, setup(30), kTokenizer, teacher);
  EXPECT_TRUE(guide.needs_teacher(29));
  for (const int64_t step : {0, 4, 5, 29}) {
    std::vector<Group> groups = {plain_group(1, 5, 0), plain_group(2, 5, 1)};
    const GuidanceReport report = guide.guide(groups, step);
    EXPECT_TRUE(report.teacher_on);
    EXPECT_EQ(report.num_guided, 1);
    EXPECT_EQ(report.num_groups_without_success, 1);
  }
}

TEST(Guide, GroupsWithoutSuccessEndWhereTheScheduleIsZero) {
  for (const algo::ScheduleKind kind : {algo::ScheduleKind::Linear, algo::ScheduleKind::Cosine}) {
    GuidanceOptions options;
    options.select = Select::GroupsWithoutSuccess;
    options.schedule.kind = kind;
    options.schedule.init = 0.3;
    options.schedule.min = 0;
    ScriptedTeacher teacher(kGood);
    Guide guide(options, setup(30), kTokenizer, teacher);  // zero from step 10 on
    for (int64_t step = 0; step < 30; ++step) {
      std::vector<Group> groups = {plain_group(1, 5, 0)};
      EXPECT_EQ(guide.guide(groups, step).num_guided, step < 10 ? 1 : 0) << step;
      EXPECT_EQ(guide.needs_teacher(step), step < 10);
    }
  }
}

TEST(Guide, SameSeedSameGroupsSameResult) {
  const auto run = [](uint64_t seed) {
    ScriptedTeacher teacher(kGood);
    GuideSetup seeded = setup();
    seeded.seed = seed;
    Guide guide(always(0.4), seeded, kTokenizer, teacher);
    std::string guided;
    for (int64_t step = 0; step < 10; ++step) {
      std::vector<Group> groups = {plain_group(1, 8), plain_group(2, 8)};
      guide.guide(groups, step);
      for (const Group& group : groups)
        for (const Rollout& rollout : group.rollouts) guided += rollout.guidance.guided ? '1' : '0';
    }
    return guided;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Guide, TheGuardPausesLoudlyAndResumes) {
  GuidanceOptions options = always();
  options.guard = {.enabled = true, .max_drop = 0.2, .window = 2, .pause_steps = 2};
  ScriptedTeacher teacher(kGood);
  LogCapture log;
  Guide guide(options, setup(), kTokenizer, teacher);
  log.clear();
  const auto step_with = [&](int64_t step, int num_ended) {
    std::vector<Rollout> rollouts;
    for (int i = 0; i < 4; ++i) rollouts.push_back(i < num_ended ? ended_rollout("a") : cut_rollout("a"));
    std::vector<Group> groups = {group_of(1, rollouts)};
    return guide.guide(groups, step);
  };
  EXPECT_EQ(step_with(0, 4).num_guided, 1);
  EXPECT_EQ(step_with(1, 4).num_guided, 1);
  EXPECT_EQ(log.text(), "");
  const GuidanceReport paused = step_with(2, 2);  // running mean .75 against 1
  EXPECT_TRUE(paused.paused);
  EXPECT_TRUE(paused.teacher_on);
  EXPECT_EQ(paused.ended_share, 0.5);
  EXPECT_EQ(paused.num_guided, 0);
  EXPECT_EQ(paused.num_selected, 0);
  EXPECT_THAT(log.text(), HasSubstr("warning GUIDANCE PAUSED at step 2 for 2 steps"));
  EXPECT_THAT(log.text(), HasSubstr("0.750"));
  EXPECT_EQ(guide.guard_state().paused_until, 4);

  // Resumed from a checkpoint in the middle of the pause, the run goes on the same.
  Guide restored(options, setup(), kTokenizer, teacher);
  restored.set_guard_state(guard_state_from_json(to_json(guide.guard_state())));
  log.clear();
  EXPECT_TRUE(step_with(3, 4).paused);
  EXPECT_EQ(log.text(), "");
  const GuidanceReport resumed = step_with(4, 4);
  EXPECT_FALSE(resumed.paused);
  EXPECT_EQ(resumed.num_guided, 1);
  EXPECT_THAT(log.text(), HasSubstr("warning GUIDANCE RESUMED at step 4"));
  for (const int64_t step : {3, 4}) {
    std::vector<Group> groups = {plain_group(1, 4)};
    EXPECT_EQ(restored.guide(groups, step).paused, step == 3);
  }
  EXPECT_EQ(restored.guard_state(), guide.guard_state());
  EXPECT_EQ(teacher.num_calls, 4);
}

TEST(Guide, TheGuardOffOnlyWarns) {
  GuidanceOptions options = always();
  options.guard = {.enabled = false, .max_drop = 0.2, .window = 1, .pause_steps = 2};
  ScriptedTeacher teacher(kGood);
  LogCapture log;
  Guide guide(options, setup(), kTokenizer, teacher);
  std::vector<Group> good = {plain_group(1, 2)};
  guide.guide(good, 0);
  std::vector<Group> fallen = {group_of(1, {ended_rollout("a"), cut_rollout("b")})};
  EXPECT_EQ(guide.guide(fallen, 1).num_guided, 1);
  EXPECT_THAT(log.text(), HasSubstr("warning the student may be forgetting how to end its turns"));
  EXPECT_THAT(log.text(), Not(HasSubstr("PAUSED")));
}

TEST(Guide, TheGuardDoesNotWatchWithoutATeacher) {
  GuidanceOptions options;
  ScriptedTeacher teacher(kGood);
  Guide guide(options, setup(30), kTokenizer, teacher);
  std::vector<Group> groups = {plain_group(1, 5)};
  guide.guide(groups, 20);
  EXPECT_EQ(guide.guard_state(), GuardState{});
}

TEST(Guide, ATeacherThatForgetsARequestIsABug) {
  class Forgetful final : public Teacher {
    std::vector<TeacherReply> reply(const std::vector<TeacherRequest>&) override { return {}; }
  } teacher;
  std::vector<Group> groups = {plain_group(1, 2)};
  EXPECT_THROW(one_step(groups, teacher), core::Error);
}

TEST(Guide, OptionsAreValidated) {
  GuidanceOptions options;
  options.max_used_reply_tokens = 0;
  ScriptedTeacher teacher(kGood);
  EXPECT_THROW(Guide(options, setup(), kTokenizer, teacher), core::Error);
}

}  // namespace
}  // namespace thinktune::guidance
