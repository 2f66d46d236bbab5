#include "thinktune/report/reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::report {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using nlohmann::ordered_json;
using rollout::Finish;
using rollout::Group;
using rollout::Origin;
using rollout::Verdict;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<ordered_json> rows_of(const fs::path& file) {
  std::vector<ordered_json> rows;
  std::istringstream lines(core::read_file(file, "test"));
  for (std::string line; std::getline(lines, line);) rows.push_back(ordered_json::parse(line));
  return rows;
}

// The rows without what depends on the clock, as text, so that the order of the keys counts.
std::string without_time(const fs::path& file) {
  std::string text;
  for (const ordered_json& row : rows_of(file)) {
    ordered_json kept;
    for (const auto& [key, value] : row.items())
      if (!key.starts_with("time/")) kept[key] = value;
    text += kept.dump() + "\n";
  }
  return text;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// "<5><6>" for the ids 5, 6.
std::string decode(std::span<const rollout::TokenId> ids) {
  std::string text;
  for (const auto id : ids) text += "<" + std::to_string(id) + ">";
  return text;
}

std::vector<Group> make_groups(int64_t step) {
  std::vector<Group> groups(2);
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].prompt = {.id = "p" + std::to_string(g),
                        .number = static_cast<uint64_t>(step) * 2 + g,
                        .messages = {{"user", "What is 1+1?"}},
                        .problem = "What is 1+1?",
                        .gold = "2"};
    for (int sample = 0; sample < 2; ++sample) {
      rollout::Rollout r;
      r.ids = {1, 2, 3};
      r.origin = {Origin::Student, Origin::Student, Origin::Student};
      r.finish = Finish::EndOfTurn;
      r.text = "I say " + std::to_string(step);
      r.judgement = {.verdict = sample == 0 ? Verdict::Right : Verdict::Wrong,
                     .reward = sample == 0 ? 1.0 : 0.0,
                     .extracted = "2",
                     .reason = "equal"};
      r.advantage = sample == 0 ? 0.7 : -0.7;
      groups[g].rollouts.push_back(r);
    }
  }
  return groups;
}

StepReport make_report(int64_t step) {
  StepReport report{.step = step, .num_steps = 20, .tokens_per_s = 100.0 + static_cast<double>(step), .left_s = 60};
  report.metrics.add("loss/policy", 0.1 * static_cast<double>(step));
  report.metrics.add("optim/lr", 1e-6);
  return report;
}

std::vector<BenchmarkReport> make_evaluation(double accuracy) {
  BenchmarkReport a{.name = "toy"};
  a.metrics.add("accuracy", accuracy);
  a.metrics.add("time/total_s", accuracy * 7);
  a.items = {{.id = "1",
              .problem = "?",
              .gold = "2",
              .text = "two",
              .num_tokens = 3,
              .judgement = {.verdict = Verdict::Unparsed, .reason = "no box"}}};
  BenchmarkReport b{.name = "other"};
  b.metrics.add("accuracy", accuracy / 2);
  return {a, b};
}

// What is logged goes to log(), and the process has its own logger again afterwards.
class ReporterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(log_));
    logger->set_pattern("%l: %v");
    spdlog::set_default_logger(logger);
  }
  void TearDown() override { spdlog::set_default_logger(before_); }

  std::string log() const { return log_.str(); }
  fs::path run() const { return folder_.path() / "runs" / "first"; }

  const test::TempFolder folder_;
  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
};

TEST_F(ReporterTest, WritesOneRowAStepInAFixedOrder) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  for (int64_t step = 1; step <= 3; ++step) {
    reporter.step(make_report(step), make_groups(step));
    EXPECT_EQ(rows_of(run() / "metrics.jsonl").size(), static_cast<size_t>(step)) << "a row must be there at once";
  }
  const auto rows = rows_of(run() / "metrics.jsonl");
  std::vector<std::string> keys, last_keys;
  for (const auto& [key, value] : rows[0].items()) keys.push_back(key);
  for (const auto& [key, value] : rows[2].items()) last_keys.push_back(key);
  EXPECT_EQ(keys, last_keys);
  EXPECT_EQ(keys.front(), "step");
  EXPECT_EQ(rows[2]["step"], 3);
  EXPECT_DOUBLE_EQ(rows[2]["loss/policy"], 0.1 * 3);
  EXPECT_DOUBLE_EQ(rows[2]["reward/mean"], 0.5);
  EXPECT_DOUBLE_EQ(rows[2]["time/tokens_per_s"], 103);
  EXPECT_THAT(rows[2]["time/utc"].get<std::string>(), ::testing::MatchesRegex("20.*T.*Z"));
}

TEST_F(ReporterTest, ValuesThatAreNotFiniteAreNullAndSaidSo) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  StepReport report = make_report(1);
  report.metrics.add("loss/entropy", std::nan(""));
  report.metrics.add("optim/norm", INFINITY);
  reporter.step(report, make_groups(1));
  const auto rows = rows_of(run() / "metrics.jsonl");
  EXPECT_TRUE(rows[0]["loss/entropy"].is_null());
  EXPECT_TRUE(rows[0]["optim/norm"].is_null());
  EXPECT_THAT(log(), HasSubstr("warning: step 1: not finite, written as null: loss/entropy, optim/norm"));
}

TEST_F(ReporterTest, RefusesANameThatIsTaken) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  for (const char* name : {"reward/mean", "step"}) {
    StepReport report = make_report(1);
    report.metrics.add(name, 1);
    EXPECT_THROW(reporter.step(report, make_groups(1)), core::Error) << name;
  }
}

TEST_F(ReporterTest, AResumedRunsFilesEqualTheUndisturbedOnes) {
  const auto go_on = [&](Reporter& reporter, int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) {
      reporter.step(make_report(step), make_groups(step));
      if (step % 2 == 0) reporter.evaluation(step, make_evaluation(0.1 * static_cast<double>(step)));
    }
  };
  const ReportOptions options{.rollouts_every = 2};
  const fs::path undisturbed = folder_.path() / "undisturbed";
  {
    Reporter reporter(undisturbed, options, decode, RunStart::New);
    go_on(reporter, 1, 8);
  }
  {
    Reporter reporter(run(), options, decode, RunStart::New);
    go_on(reporter, 1, 7);
  }
  std::ofstream(run() / "metrics.jsonl", std::ios::app) << R"({"step":8,"loss/pol)";  // killed in the middle of a row
  std::ofstream(run() / "rollouts" / "step-8.jsonl.tmp-99") << "half";
  {
    Reporter reporter(run(), options, decode, RunStart::Resumed, 4);
    EXPECT_EQ(rows_of(run() / "metrics.jsonl").size(), 4u);
    EXPECT_EQ(rows_of(run() / "eval.jsonl").size(), 4u);
    EXPECT_THAT(names_in(run() / "rollouts"), ElementsAre("step-1.jsonl", "step-2.jsonl", "step-4.jsonl"));
    EXPECT_THAT(names_in(run() / "eval"), ElementsAre("step-2.jsonl", "step-4.jsonl"));
    EXPECT_TRUE(reporter.has_evaluation(4));
    EXPECT_FALSE(reporter.has_evaluation(6));
    go_on(reporter, 5, 8);
    reporter.sync();
  }
  EXPECT_EQ(without_time(run() / "metrics.jsonl"), without_time(undisturbed / "metrics.jsonl"));
  EXPECT_EQ(without_time(run() / "eval.jsonl"), without_time(undisturbed / "eval.jsonl"));
  for (const char* folder : {"rollouts", "eval"}) {
    EXPECT_EQ(names_in(run() / folder), names_in(undisturbed / folder));
    for (const std::string& name : names_in(undisturbed / folder))
      EXPECT_EQ(core::read_file(run() / folder / name, "test"), core::read_file(undisturbed / folder / name, "test"));
  }
  EXPECT_EQ(names_in(run() / "tensorboard").size(), 2u);
}

TEST_F(ReporterTest, ANewRunDoesNotWriteOverAnotherOne) {
  { Reporter(run(), {}, decode, RunStart::New).step(make_report(1), make_groups(1)); }
  const std::string before = core::read_file(run() / "metrics.jsonl", "test");
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { Reporter(run(), {}, decode, RunStart::New); }),
              HasSubstr("holds the results of another run"));
  EXPECT_EQ(core::read_file(run() / "metrics.jsonl", "test"), before);
}

// After a power loss the file may hold anything behind what was flushed.
TEST_F(ReporterTest, WhatAPowerLossLeavesBehindTheFlushedRowsIsDropped) {
  {
    Reporter reporter(run(), {}, decode, RunStart::New);
    for (const int64_t step : {1, 2}) reporter.step(make_report(step), make_groups(step));
    EXPECT_EQ(reporter.row_counts().metrics, 2);
    EXPECT_EQ(reporter.row_counts().evaluations, 0);
  }
  const std::string whole = core::read_file(run() / "metrics.jsonl", "test");
  std::ofstream(run() / "metrics.jsonl", std::ios::app) << std::string(100, '\0') << "\n{\"step\":1}\n";
  { Reporter(run(), {}, decode, RunStart::Resumed, 2, {.metrics = 2, .evaluations = 0}); }
  EXPECT_EQ(core::read_file(run() / "metrics.jsonl", "test"), whole);
  std::ofstream(run() / "metrics.jsonl") << whole.substr(0, 5) << "\n" << whole;
  EXPECT_THAT(test::message_of_error(
                  ErrorKind::Data,
                  [&] { Reporter(run(), {}, decode, RunStart::Resumed, 2, {.metrics = 2, .evaluations = 0}); }),
              HasSubstr("metrics.jsonl:1: "));
}

TEST_F(ReporterTest, NestingBehindWhatWasFlushedIsCutOffToo) {
  fs::create_directories(run());
  const std::string deep = "{\"step\":2,\"x\":" + std::string(100, '[') + std::string(100, ']') + "}\n";
  std::ofstream(run() / "metrics.jsonl") << "{\"step\":1}\n" << deep;
  { Reporter(run(), {}, decode, RunStart::Resumed, 1, {.metrics = 1, .evaluations = 0}); }
  EXPECT_EQ(core::read_file(run() / "metrics.jsonl", "test"), "{\"step\":1}\n");
}

TEST_F(ReporterTest, OnlyWholeEvaluationsCount) {
  EXPECT_THAT(read_evaluations(run(), "heldout", "accuracy"), IsEmpty());
  fs::create_directories(run());
  std::ofstream(run() / "eval.jsonl") << "{\"step\":1,\"benchmark\":\"heldout\",\"accuracy\":0.5}\n"
                                      << "{\"step\":2,\"benchmark\":\"other\",\"accuracy\":0.5}\n"
                                      << "{\"step\":3,\"benchmark\":\"heldout\",\"accuracy\":null}\n"
                                      << "{\"step\":-4,\"benchmark\":\"heldout\",\"accuracy\":0.5}\n"
                                      << "{\"step\":5,\"benchmark\":\"heldout\",\"accuracy\":0.5}";
  EXPECT_THAT(read_evaluations(run(), "heldout", "accuracy"), ElementsAre(std::pair<const int64_t, double>(1, 0.5)));
}

TEST_F(ReporterTest, AFileThatWasRemovedMeanwhileIsNoticed) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  fs::remove(run() / "metrics.jsonl");
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { reporter.step(make_report(1), make_groups(1)); }),
              AllOf(HasSubstr("metrics.jsonl"), HasSubstr("was removed while the run was writing to it")));
}

TEST_F(ReporterTest, ResumingWithFewerRowsThanStepsSaysSo) {
  { Reporter(run(), {}, decode, RunStart::New).step(make_report(1), make_groups(1)); }
  Reporter reporter(run(), {}, decode, RunStart::Resumed, 5);
  EXPECT_THAT(log(), HasSubstr("ends at step 1, the run goes on after step 5"));
  reporter.step(make_report(6), make_groups(6));
  EXPECT_EQ(rows_of(run() / "metrics.jsonl").size(), 2u);
}

TEST_F(ReporterTest, ADamagedRowIsNamed) {
  for (const char* damaged :
       {"garbage\n", "{\"loss\":1}\n", "{\"step\":\"one\"}\n", "[1]\n", "{\"step\":0}\n", "{\"step\":-1}\n", "\n"}) {
    const fs::path folder = folder_.path() / "damaged";
    fs::remove_all(folder);
    fs::create_directories(folder);
    std::ofstream(folder / "metrics.jsonl") << "{\"step\":1}\n" << damaged << "{\"step\":2}\n";
    SCOPED_TRACE(damaged);
    EXPECT_THAT(test::message_of_error(ErrorKind::Data, [&] { Reporter(folder, {}, decode, RunStart::Resumed, 2); }),
                HasSubstr("metrics.jsonl:2: "));
  }
}

TEST_F(ReporterTest, StepsMustRise) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  reporter.step(make_report(2), make_groups(2));
  EXPECT_THROW(reporter.step(make_report(2), make_groups(2)), core::Error);
  EXPECT_THROW(reporter.step(make_report(1), make_groups(1)), core::Error);
}

TEST_F(ReporterTest, RolloutRowsTellTheWholeStory) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  auto groups = make_groups(1);
  rollout::Rollout& r = groups[0].rollouts[1];
  r.ids = {1, 2, 3, 4, 5, 6, 7};
  r.origin = {Origin::Student, Origin::Student, Origin::Reason, Origin::Reason,
              Origin::Reason,  Origin::Phrase,  Origin::Phrase};
  r.guidance = {.guided = true,
                .outcome = "guided",
                .opinion = "incorrect",
                .teacher_reply = "<opinion>…",
                .before = {.verdict = Verdict::Wrong, .reward = 0, .extracted = "3"}};
  r.judgement.lenient = Verdict::Wrong;
  r.judgement.scored = false;
  r.judgement.parts = {{.name = "answer", .value = 0}, {.name = "command", .value = 0.5}};
  reporter.step(make_report(1), groups);
  const auto rows = rows_of(run() / "rollouts" / "step-1.jsonl");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_TRUE(rows[0]["guidance"].is_null());
  const auto& row = rows[1];
  EXPECT_EQ(row["step"], 1);
  EXPECT_EQ(row["prompt_id"], "p0");
  EXPECT_EQ(row["messages"], ordered_json::parse(R"([{"role": "user", "content": "What is 1+1?"}])"));
  EXPECT_EQ(row["gold"], "2");
  EXPECT_EQ(row["sample"], 1);
  EXPECT_EQ(row["num_tokens"], 7);
  EXPECT_EQ(row["finish"], "end_of_turn");
  EXPECT_EQ(row["verdict"], "wrong");
  EXPECT_EQ(row["extracted"], "2");
  EXPECT_EQ(row["reason"], "equal");
  EXPECT_EQ(row["strict"], "unparsed");
  EXPECT_EQ(row["lenient"], "wrong");
  EXPECT_EQ(row["reward"], nullptr);
  EXPECT_EQ(row["reward_parts"], ordered_json::parse(R"({"answer": 0.0, "command": 0.5})"));
  EXPECT_FALSE(rows[0].contains("reward_parts"));
  EXPECT_EQ(rows[0]["reward"], 1.0);
  EXPECT_EQ(row["advantage"], -0.7);
  EXPECT_EQ(row["guided"], true);
  EXPECT_EQ(row["spans"], ordered_json::parse(R"([
    {"origin": "student", "begin": 0, "end": 2, "text": "<1><2>"},
    {"origin": "reason", "begin": 2, "end": 5, "text": "<3><4><5>"},
    {"origin": "phrase", "begin": 5, "end": 7, "text": "<6><7>"}])"));
  EXPECT_EQ(row["guidance"],
            ordered_json::parse(R"({"outcome": "guided", "opinion": "incorrect", "teacher_reply": "<opinion>…",
    "reward_before": 0.0, "verdict_before": "wrong", "extracted_before": "3"})"));
}

TEST_F(ReporterTest, EmptyResponsesAndBytesThatAreNoTextAreWritten) {
  const Decode any_bytes = [](std::span<const rollout::TokenId>) { return std::string("\xE4\xBD half"); };
  Reporter reporter(run(), {}, any_bytes, RunStart::New);
  auto groups = make_groups(1);
  groups[0].rollouts[0].text = std::string("a\xFF\0b", 4);
  groups[0].rollouts[0].judgement.extracted = "\xC0\xAF";
  groups[0].rollouts[1].ids.clear();
  groups[0].rollouts[1].origin.clear();
  groups[0].rollouts[1].text = "";
  reporter.step(make_report(1), groups);
  const auto rows = rows_of(run() / "rollouts" / "step-1.jsonl");
  EXPECT_EQ(rows[0]["text"], std::string("a\uFFFD\0b", 6));
  EXPECT_EQ(rows[0]["spans"][0]["text"], "\uFFFD half");
  EXPECT_EQ(rows[0]["extracted"], "\uFFFD\uFFFD");
  EXPECT_TRUE(rows[1]["spans"].is_array());
  EXPECT_TRUE(rows[1]["spans"].empty());
}

TEST_F(ReporterTest, RolloutFilesComeWhenTheyAreDue) {
  const ReportOptions options{.rollouts_every = 3, .max_rollout_groups = 1};
  Reporter reporter(run(), options, decode, RunStart::New);
  for (int64_t step = 1; step <= 7; ++step) reporter.step(make_report(step), make_groups(step));
  EXPECT_THAT(names_in(run() / "rollouts"), ElementsAre("step-1.jsonl", "step-3.jsonl", "step-6.jsonl"));
  EXPECT_EQ(rows_of(run() / "rollouts" / "step-3.jsonl").size(), 2u);  // one group of two

  const fs::path without = folder_.path() / "without";
  Reporter none(without, {.rollouts_every = 0, .tensorboard = false}, decode, RunStart::New);
  none.step(make_report(1), make_groups(1));
  EXPECT_THAT(names_in(without / "rollouts"), IsEmpty());
  EXPECT_FALSE(fs::exists(without / "tensorboard"));
}

TEST_F(ReporterTest, AnEvaluationReplacesAnEarlierOneOfItsStep) {
  Reporter reporter(run(), {}, decode, RunStart::New);
  reporter.evaluation(0, make_evaluation(0.2));
  reporter.evaluation(4, make_evaluation(0.4));
  reporter.evaluation(4, make_evaluation(0.6));
  const auto rows = rows_of(run() / "eval.jsonl");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0]["step"], 0);
  EXPECT_EQ(rows[2]["step"], 4);
  EXPECT_EQ(rows[2]["benchmark"], "toy");
  EXPECT_DOUBLE_EQ(rows[2]["accuracy"], 0.6);
  EXPECT_EQ(rows[3]["benchmark"], "other");
  EXPECT_TRUE(reporter.has_evaluation(0));
  EXPECT_TRUE(reporter.has_evaluation(4));
  EXPECT_FALSE(reporter.has_evaluation(2));
  const auto items = rows_of(run() / "eval" / "step-4.jsonl");
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0]["benchmark"], "toy");
  EXPECT_EQ(items[0]["verdict"], "unparsed");
  EXPECT_EQ(items[0]["reason"], "no box");
}

TEST_F(ReporterTest, ConfigIsKeptWhenAResumedRunHasAnother) {
  { Reporter(run(), {}, decode, RunStart::New).save_config("{\"a\": 1}\n"); }
  { Reporter(run(), {}, decode, RunStart::Resumed).save_config("{\"a\": 1}\n"); }
  EXPECT_FALSE(fs::exists(run() / "config.before-step-1.json"));
  { Reporter(run(), {}, decode, RunStart::Resumed, 3).save_config("{\"a\": 2}\n"); }
  EXPECT_EQ(core::read_file(run() / "config.json", "test"), "{\"a\": 2}\n");
  EXPECT_EQ(core::read_file(run() / "config.before-step-4.json", "test"), "{\"a\": 1}\n");
  EXPECT_THAT(log(), HasSubstr("the config differs"));
}

TEST_F(ReporterTest, AFullDiskLeavesWholeRows) {
  Reporter reporter(run(), {.rollouts_every = 0, .tensorboard = false}, decode, RunStart::New);
  reporter.step(make_report(1), make_groups(1));
  const std::string before = core::read_file(run() / "metrics.jsonl", "test");
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{before.size() + 50, old.rlim_max};  // the next row begins to fit, and does not
  ::setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { reporter.step(make_report(2), make_groups(2)); }),
              HasSubstr("metrics.jsonl"));
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(core::read_file(run() / "metrics.jsonl", "test"), before);
  reporter.step(make_report(2), make_groups(2));
  EXPECT_EQ(rows_of(run() / "metrics.jsonl").size(), 2u);
}

TEST_F(ReporterTest, RefusesAFolderThatCannotBeMade) {
  EXPECT_THAT(
      test::message_of_error(ErrorKind::User, [] { Reporter("/proc/thinktune/run", {}, decode, RunStart::New); }),
      HasSubstr("cannot make the folder /proc/thinktune"));
}

TEST_F(ReporterTest, ConsoleLineAndWarnings) {
  const ReportOptions options{.console_every = 2, .rollouts_every = 0, .tensorboard = false, .zero_reward_steps = 2};
  Reporter reporter(run(), options, decode, RunStart::New);
  auto groups = make_groups(1);
  for (Group& group : groups)
    for (auto& r : group.rollouts) r.judgement = {};
  for (int64_t step = 1; step <= 3; ++step) reporter.step(make_report(step), groups);
  EXPECT_THAT(log(), HasSubstr("info: step 1/20  reward 0.000"));
  EXPECT_THAT(log(), HasSubstr("info: step 2/20"));
  EXPECT_THAT(log(), ::testing::Not(HasSubstr("info: step 3/20")));
  EXPECT_THAT(log(), HasSubstr("warning: NOTHING IS BEING LEARNED: every reward has been 0 for 2 steps"));
}

TEST(StepLine, SaysWhatPeopleLookFor) {
  StepReport report{
      .step = 12, .num_steps = 200, .seconds = {3.14, 0.8, 0.42, 5, 9.6}, .tokens_per_s = 3120.4, .left_s = 3900};
  RolloutStatistics s{.num_rollouts = 64,
                      .num_selected = 8,
                      .num_guided = 7,
                      .reward_mean = 0.4531,
                      .length_mean = 210.4,
                      .guided_length_mean = 260,
                      .guided_share = 0.12,
                      .valid_share = 0.85};
  EXPECT_EQ(
      format_step_line(report, s),
      "step 12/200  reward 0.453  guided 12 % (valid 85 %)  length 210 (guided 260)  3120 tok/s  1 h 05 min left  "
      "[sample 3.1 + teacher 0.8 + old log-probs 0.4 + update 5.0 of 9.6 s]");
  s.num_selected = s.num_guided = 0;
  s.guided_share = 0;
  report.step = 200;
  EXPECT_EQ(format_step_line(report, s),
            "step 200/200  reward 0.453  guided 0 %  length 210  3120 tok/s  [sample 3.1 + teacher 0.8 + old log-probs "
            "0.4 + update 5.0 of 9.6 s]");
  EXPECT_THAT(format_step_line(report, summarise({})), HasSubstr("no rollouts"));
}

TEST(ReportOptions, AreChecked) {
  EXPECT_NO_THROW(validate(ReportOptions{}));
  EXPECT_EQ(test::message_of_error(ErrorKind::User, [] { validate(ReportOptions{.rollouts_every = -1}); }),
            "report.rollouts_every is -1, allowed is at least 0");
}

}  // namespace
}  // namespace thinktune::report
