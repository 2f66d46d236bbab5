// doctor through the program: a line a check, JSON, exit codes, ranks.
#include "program.h"

namespace thinktune::cli {
namespace {

class Doctor : public ProgramTest {
 protected:
  Outcome doctor(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"doctor", "--config", config_.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  // The check's status; "" if there is no such check.
  static std::string status_of(const json& report, const std::string& check) {
    for (const json& entry : report["checks"])
      if (entry["check"] == check) return entry["status"];
    return "";
  }
};

TEST_F(Doctor, EveryCheckOfAGoodRunSaysOk) {
  const auto before = snapshot(folder_.path());
  const Outcome outcome = doctor();
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  for (const char* line :
       {"ok       libraries ", "ok       threads ", "ok       ranks ", "ok       settings ", "ok       device ",
        "ok       data ", "ok       reward ", "ok       model files ", "ok       memory ", "ok       disk ",
        "ok       tokenizer ", "ok       chat template ", "ok       end of turn ", "ok       prompts "})
    EXPECT_THAT(outcome.out, HasSubstr(line));
  // A random model solves nothing, which is what the check is for.
  EXPECT_THAT(outcome.out, HasSubstr("warning  base model      pass@2 0 % and pass@1 0 % of 3 problems"));
  EXPECT_THAT(outcome.out, HasSubstr("warning  signal          0 of 3 groups"));
  EXPECT_THAT(outcome.out, HasSubstr("→ no answer was right"));
  EXPECT_THAT(outcome.out, HasSubstr("16 checks, 0 failed, 2 warnings"));
  EXPECT_THAT(outcome.out, HasSubstr("the SHA-256 of model.safetensors is "));
  EXPECT_TRUE(snapshot(folder_.path()) == before) << "it only looks";
}

TEST_F(Doctor, QuickLeavesOutWhatLoadsTheModel) {
  const Outcome outcome = doctor({"--quick", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(status_of(report, "base model"), "skipped");
  EXPECT_EQ(status_of(report, "signal"), "skipped");
  EXPECT_EQ(status_of(report, "prompts"), "ok");
  EXPECT_EQ(report["failed"], 0);
}

TEST_F(Doctor, TheMachineAlone) {
  const Outcome outcome = run_program({"doctor"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("ok       libraries"), HasSubstr("the machine alone"), Not(HasSubstr("model files"))));
}

TEST_F(Doctor, AMissingModelIsTheUsersAndADamagedOneTheFiles) {
  Outcome outcome = doctor({"--json", "--set", "model=/nowhere"});
  EXPECT_EQ(outcome.exit_code, kUser);
  json report = json::parse(outcome.out);
  EXPECT_EQ(status_of(report, "model files"), "failed");
  for (const char* check : {"tokenizer", "chat template", "end of turn", "prompts", "base model", "signal"})
    EXPECT_EQ(status_of(report, check), "skipped") << check;
  EXPECT_EQ(status_of(report, "reward"), "ok") << "what does not need the model is looked at all the same";
  EXPECT_THAT(outcome.err, HasSubstr("error: 1 of 16 checks failed: model files"));

  const std::string weights = read_text(model_ / "model.safetensors");
  write_text(model_ / "model.safetensors", weights.substr(0, weights.size() / 2));
  outcome = doctor({"--json"});
  EXPECT_EQ(outcome.exit_code, kData);
  EXPECT_EQ(status_of(json::parse(outcome.out), "model files"), "failed");
}

TEST_F(Doctor, SettingsThatContradictEachOtherAndFilesThatAreWrong) {
  write_text(data_, "{\"id\": \"a\", \"problem\": \"1+1?\"\n");
  const Outcome outcome = doctor({"--json", "--set", "rollout.group_size=1", "--set", "output=/proc/run"});
  EXPECT_EQ(outcome.exit_code, kUser) << "the first failed check decides";
  const json report = json::parse(outcome.out);
  for (const char* check : {"settings", "data", "disk"}) EXPECT_EQ(status_of(report, check), "failed") << check;
  EXPECT_EQ(status_of(report, "reward"), "skipped");
  EXPECT_EQ(report["failed"], 3);
  expect_refused(doctor({"--set", "no.such=1"}), {"no.such"});
}

TEST_F(Doctor, ACheckpointWhoseFilesHaveChanged) {
  expect_success(train());
  const fs::path checkpoint = output_ / "checkpoints" / "step-2";
  const std::vector<std::string> more = {"--json", "--quick",
                                         "--set",  "output=" + (folder_.path() / "next").string(),
                                         "--set",  "model=" + checkpoint.string()};
  EXPECT_THAT(doctor(more).out, HasSubstr("a checkpoint whose files have the manifest's checksums"));
  std::string text = read_text(checkpoint / "tokenizer_config.json");
  write_text(checkpoint / "tokenizer_config.json", text + " ");
  const Outcome outcome = doctor(more);
  EXPECT_EQ(outcome.exit_code, kData);
  EXPECT_THAT(outcome.out, HasSubstr("is damaged: tokenizer_config.json has"));
}

TEST_F(Doctor, TwoRanksTryTheirSums) {
  const Outcome outcome = doctor({"--quick", "--nproc", "2"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("ok       ranks           2 ranks: sums and copies are right"));
  EXPECT_THAT(outcome.out, HasSubstr(" over Gloo"));
}

// As in a run: the device and the patience of the config, the launchers' environment.
TEST_F(Doctor, RanksMeetAsThoseOfTheRun) {
  for (const char* device : {"cuda:0", "nonsense"}) {
    const std::vector<std::string> ranks = {"--nproc", "2", "--set", fmt::format("device={}", device)};
    std::vector<std::string> quick = ranks;
    quick.push_back("--quick");
    const Outcome examined = doctor(quick), trained = train(ranks);
    EXPECT_EQ(examined.exit_code, kUser) << examined.err;
    const size_t error = examined.err.rfind("error: ");
    ASSERT_NE(error, std::string::npos);
    const std::string message = examined.err.substr(error, examined.err.find('\n', error) - error);
    EXPECT_THAT(message, HasSubstr(device));
    EXPECT_THAT(trained.err, HasSubstr(message));
  }
  const Variables second(
      {{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "7"}});
  expect_refused(doctor({"--nproc", "2"}), {"--nproc starts ranks itself, but this process is rank 1 of 2"});
  const auto start = std::chrono::steady_clock::now();
  expect_refused(doctor({"--set", "comm.timeout_s=1"}), {"rank 1 of 2 has not met the others at 127.0.0.1:7"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

}  // namespace
}  // namespace thinktune::cli
