// Which checkpoint a run goes on from, with which settings, and which checkpoints stay.
#include <set>

#include "fault/process.h"
#include "support/manifest.h"

namespace thinktune::cli {
namespace {

using fault::Process;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;

class ResumeRules : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_config({{"steps", 4}, {"checkpoint", {{"every", 1}, {"keep_last", 0}}}});
  }

  std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(output_ / "checkpoints"))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(ResumeRules, ANamedCheckpointAndLaterOnesAreSetAside) {
  expect_success(train());
  const std::string last = read_text(output_ / "checkpoints" / "step-4" / "training_state.safetensors");
  const Outcome outcome = train({"--resume=2"});
  expect_success(outcome);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("step-2 after step 2"), HasSubstr("a later checkpoint was set aside")));
  EXPECT_THAT(checkpoints(),
              ElementsAre("set-aside-1-of-step-3", "set-aside-1-of-step-4", "step-1", "step-2", "step-3", "step-4"));
  EXPECT_EQ(read_text(output_ / "checkpoints" / "step-4" / "training_state.safetensors"), last);
  EXPECT_EQ(read_rows(output_ / "metrics.jsonl").size(), 4U);
}

// The checkpoint of another run begins a run of its own, which can be gone on with from then on.
TEST_F(ResumeRules, ACheckpointOfAnotherFolder) {
  expect_success(train());
  const fs::path from = output_ / "checkpoints" / "step-2", first = output_;
  const std::string last = read_text(output_ / "checkpoints" / "step-4" / "training_state.safetensors");
  output_ = folder_.path() / "fork";
  const std::vector<std::string> to_fork = {"--set", "output=" + output_.string()};
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.end(), to_fork.begin(), to_fork.end());
    return train(words);
  };
  expect_success(with({"--resume=" + from.string(), "--stop-after", "1"}));
  EXPECT_THAT(checkpoints(), ElementsAre("step-2", "step-3"));
  expect_success(with({"--resume"}));
  EXPECT_EQ(read_text(output_ / "checkpoints" / "step-4" / "training_state.safetensors"), last);
  const std::vector<json> rows = read_rows(output_ / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows.front()["step"], 3);
  // Its metrics and checkpoints are its own.
  expect_refused(
      with({"--resume=" + from.string()}),
      {from.string() + " is not among the checkpoints of the run in " + output_.string(), "by --resume alone"});
  EXPECT_EQ(checkpoints().size(), 3U);
  // Killed before its first save: the same command begins it again.
  fs::remove_all(output_);
  fs::create_directory(output_);
  write_text(output_ / "metrics.jsonl", "");
  expect_success(with({"--resume=" + from.string(), "--stop-after", "1"}));
  // A finished one is finished here too.
  expect_refused(train({"--resume=" + (first / "checkpoints" / "step-4").string(), "--set",
                        "output=" + (folder_.path() / "none").string()}),
                 {"step-4 is finished: 4 of 4 steps are done", "--set steps=N --resume=" + first.string()});
}

// Whatever ends it before it is saved there: a resume does not take it for a run of its own that has just begun.
TEST_F(ResumeRules, ACheckpointOfAnotherFolderThatCannotBeSaved) {
  expect_success(train({"--stop-after", "2"}));
  const std::string from = (output_ / "checkpoints" / "step-2").string();
  output_ = folder_.path() / "fork";
  fs::create_directory(output_);
  write_text(output_ / "checkpoints", "a file\n");
  const std::vector<std::string> here = {"--set", "output=" + output_.string()};
  const Outcome failed = train({"--resume=" + from, here[0], here[1]});
  expect_refused(failed,
                 {(output_ / "checkpoints").string(), "to go on: " + std::string(TT_BINARY), "--resume=" + from});
  EXPECT_FALSE(fs::exists(output_ / "metrics.jsonl"));
  fs::remove(output_ / "checkpoints");
  expect_refused(train({"--resume", here[0], here[1]}), {"there is no whole checkpoint to resume from"});
  expect_success(train({"--resume=" + from, here[0], here[1]}));
}

TEST_F(ResumeRules, ALinkToACheckpointOfTheRun) {
  expect_success(train());
  fs::create_directory_symlink(output_ / "checkpoints" / "step-2", folder_.path() / "best");
  expect_success(train({"--resume=" + (folder_.path() / "best").string()}));
  EXPECT_THAT(checkpoints(),
              ElementsAre("set-aside-1-of-step-3", "set-aside-1-of-step-4", "step-1", "step-2", "step-3", "step-4"));
}

// A checkpoint that was set aside is taken under its step's name.
TEST_F(ResumeRules, ACheckpointThatWasSetAside) {
  expect_success(train());
  expect_success(train({"--resume=2", "--stop-after", "1"}));
  const std::string aside = (output_ / "checkpoints" / "set-aside-1-of-step-4").string();
  ASSERT_TRUE(fs::exists(aside));
  expect_success(train({"--resume=" + aside, "--set", "steps=5", "--allow-changed"}));
  EXPECT_THAT(checkpoints(), ElementsAre("set-aside-1-of-step-3", "set-aside-1-of-step-4", "step-1", "step-2", "step-3",
                                         "step-4", "step-5"));
}

TEST_F(ResumeRules, ANamedCheckpointThatIsNotThereOrDamagedIsRefused) {
  expect_success(train({"--stop-after", "2"}));
  expect_refused(train({"--resume=7"}), {"there is no checkpoint 7 in", "there are step-2, step-1"});
  const fs::path file = output_ / "checkpoints" / "step-1" / "training_state.safetensors";
  fs::resize_file(file, fs::file_size(file) - 1);
  expect_refused(train({"--resume=step-1"}), {"step-1 is damaged", "training_state.safetensors has"}, kData);
  expect_success(train({"--resume=" + (output_ / "checkpoints" / "step-2").string()}));
}

TEST_F(ResumeRules, HarmlessChangesAreListed) {
  expect_success(train({"--stop-after", "2"}));
  const Outcome outcome =
      train({"--resume", "--set", "checkpoint.keep_last=1", "--set", "report.rollouts_every=2", "--set", "threads=1"});
  expect_success(outcome);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("changed since the checkpoint: checkpoint.keep_last: 0 → 1"),
                    HasSubstr("report.rollouts_every: 1 → 2"), HasSubstr("threads: 0 → 1 (last bits may differ)")));
  EXPECT_THAT(checkpoints(), ElementsAre("step-4"));
}

TEST_F(ResumeRules, ChangesOfTheMathematicsNeedAllowChanged) {
  expect_success(train({"--stop-after", "2"}));
  const auto before = snapshot(output_ / "checkpoints");
  const std::vector<std::string> changed = {"--resume", "--set", "optim.lr=0.002", "--set", "report.console_every=2"};
  const Outcome refused = train(changed);
  expect_refused(refused,
                 {"step-2 was written by a run with other settings", "optim.lr: 0.001 → 0.002", "--allow-changed"});
  EXPECT_THAT(refused.err.substr(refused.err.find("error: ")), Not(HasSubstr("console_every:")));
  EXPECT_TRUE(snapshot(output_ / "checkpoints") == before);
  EXPECT_EQ(read_rows(output_ / "metrics.jsonl").size(), 2U);
  std::vector<std::string> allowed = changed;
  allowed.push_back("--allow-changed");
  expect_success(train(allowed));
}

TEST_F(ResumeRules, OtherProblemsUnderTheSameNameAreAChange) {
  expect_success(train({"--stop-after", "2"}));
  std::string text = read_text(data_);
  text.replace(text.find("2+2?"), 4, "3+1?");
  write_text(data_, text);
  expect_refused(train({"--resume"}), {"the training problems, as prompts, are others than those of the checkpoint"});
  expect_success(train({"--resume", "--allow-changed"}));
}

// What the settings name may become something else under its name.
TEST_F(ResumeRules, AnotherInitialModelIsAChange) {
  expect_success(train({"--stop-after", "2"}));
  fs::remove_all(model_);
  test::write_tiny_model(model_, 8);
  const Outcome refused = train({"--resume"});
  expect_refused(refused, {"the initial model's weights are others than those of the checkpoint", "--allow-changed"});
  EXPECT_THAT(refused.err, Not(HasSubstr("prompt_file")));
  expect_success(train({"--resume", "--allow-changed"}));
}

TEST_F(ResumeRules, AnotherTextOfTheTeachersPromptIsAChange) {
  const fs::path prompt = folder_.path() / "teacher.json";
  const auto write_prompt = [&](const char* phrase, int indent) {
    const json example = {
        {"question", "1+1?"}, {"response", "3"}, {"opinion", "incorrect"}, {"reason", "No."}, {"phrase", phrase}};
    write_text(prompt, json{{"system", "Judge."}, {"examples", {example}}}.dump(indent));
  };
  write_prompt("It is 2.", 1);
  write_config({{"steps", 4}, {"guidance", {{"prompt_file", prompt.string()}}}});
  expect_success(train({"--stop-after", "2"}));
  write_prompt("It is two.", 1);
  const Outcome refused = train({"--resume"});
  expect_refused(refused,
                 {"the teacher's instructions and examples (guidance.prompt_file) are others than those of the "
                  "checkpoint"});
  EXPECT_THAT(refused.err, Not(HasSubstr("the initial model's weights")));
  write_prompt("It is 2.", 4);  // laid out otherwise
  expect_success(train({"--resume"}));
}

// Nobody sees the initial model's weights without a teacher and a reference.
TEST_F(ResumeRules, AnotherInitialModelThatIsNotInUseIsNone) {
  write_config({{"steps", 4}, {"guidance", {{"enabled", false}}}});
  expect_success(train({"--stop-after", "2"}));
  fs::remove_all(model_);
  test::write_tiny_model(model_, 8);
  expect_success(train({"--resume"}));
}

// A checkpoint from before there were these checksums.
TEST_F(ResumeRules, WhatAnOldCheckpointDoesNotTellIsSaid) {
  expect_success(train({"--stop-after", "2"}));
  const fs::path checkpoint = output_ / "checkpoints" / "step-2";
  json state = json::parse(read_text(checkpoint / "state.json"));
  for (const char* name : {"initial_model_checksum", "teacher_prompt_checksum"})
    EXPECT_EQ(state[name].get<std::string>().size(), 16U) << name;
  state.erase("initial_model_checksum");
  state.erase("teacher_prompt_checksum");
  write_text(checkpoint / "state.json", state.dump());
  test::list_anew(checkpoint, "state.json");
  const Outcome outcome = train({"--resume"});
  expect_success(outcome);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("cannot compare the initial model's weights with those of the checkpoint"),
                                 HasSubstr("cannot compare the teacher's instructions")));
}

// The number of steps is part of the schedules: harmless only where they are constant.
TEST_F(ResumeRules, MoreStepsThanBefore) {
  expect_success(train());
  expect_refused(train({"--resume", "--set", "steps=6"}), {"steps: 4 → 6"});
  write_config({{"steps", 2},
                {"guidance", {{"schedule", {{"kind", "constant"}}}}},
                {"output", (folder_.path() / "other").string()}});
  expect_success(train());
  expect_success(train({"--resume", "--set", "steps=3"}));
  expect_refused(train({"--resume", "--set", "steps=3"}), {"is finished: 3 of 3 steps are done"});
}

TEST_F(ResumeRules, TheBestOfAnEvaluationStay) {
  // A random model answers nothing right; what is measured is in eval.jsonl, which is all that a resume goes by.
  write_config(
      {{"steps", 6}, {"eval", {{"every", 1}}}, {"checkpoint", {{"every", 2}, {"keep_last", 1}, {"keep_best", 1}}}});
  expect_success(train({"--stop-after", "2"}));
  EXPECT_THAT(checkpoints(), ElementsAre("step-1", "step-2")) << "the first is the best while nothing is better";
  std::string rows;
  for (json row : read_rows(output_ / "eval.jsonl")) {
    if (row["step"] == 2) row["accuracy"] = 0.5;
    rows += row.dump() + "\n";
  }
  write_text(output_ / "eval.jsonl", rows);
  expect_success(train({"--resume"}));
  EXPECT_THAT(checkpoints(), ElementsAre("step-2", "step-6"));
  expect_refused(train({"--set", "eval.every=0"}), {"checkpoint.keep_best goes by evaluations"});
}

TEST_F(ResumeRules, VerifyResumeOfAUsersConfig) {
  write_config({{"steps", 20}, {"rollout", {{"max_new_tokens", 200}}}});
  const Outcome outcome = train({"--verify-resume"});
  expect_success(outcome);
  EXPECT_THAT(outcome.out,
              AllOf(ContainsRegex("3 steps in one go, and 3 steps killed \\(SIGKILL\\) in step [23] and in the save of "
                                  "step [23], and resumed"),
                    // metrics, evaluations (rows and answers), rollouts of three steps; of the checkpoint: weights,
                    // optimiser, state, and five files of the model
                    HasSubstr("the same in all 16 files")));
  EXPECT_FALSE(fs::exists(output_.string() + ".verify-resume"));
  EXPECT_FALSE(fs::exists(output_));
}

// A reward that goes by a clock: the resumed run cannot be the same.
TEST_F(ResumeRules, VerifyResumeFindsWhatDependsOnMoreThanTheSeed) {
  // Steps long enough for a kill to come in the midst of one on a busy machine.
  write_config({{"steps", 20}, {"reward", reward_by_script("sleep 0.2", "0.$(date +%N)")}});
  const Outcome outcome = train({"--verify-resume"});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: the resumed run differs: "), HasSubstr("metrics.jsonl in row 1, "),
                                 HasSubstr("reward.command")));
}

TEST_F(ResumeRules, AClockThatJumpsChangesNothing) {
  write_config({{"steps", 3}, {"checkpoint", {{"every", 1}}}});
  expect_success(train());
  const fs::path jumped = folder_.path() / "jumped";
  Process process({"train", "--config", config_.string(), "--set", "output=" + jumped.string()}, folder_.path(),
                  {"LD_PRELOAD=" TT_CLOCK_JUMPS});
  ASSERT_EQ(process.wait(), 0) << process.err();
  for (const char* name : {"model.safetensors", "training_state.safetensors"})
    EXPECT_EQ(read_text(jumped / "checkpoints" / "step-3" / name),
              read_text(output_ / "checkpoints" / "step-3" / name));
  std::vector<json> first = read_rows(output_ / "metrics.jsonl"), second = read_rows(jumped / "metrics.jsonl");
  ASSERT_EQ(first.size(), second.size());
  std::set<std::string> stamps;
  for (size_t i = 0; i < first.size(); ++i) {
    stamps.insert(second[i]["time/utc"].get<std::string>().substr(0, 13));
    EXPECT_GE(second[i]["time/step_s"], 0.0);
    EXPECT_LT(second[i]["time/step_s"], 60.0);
    json kept[2];
    for (const auto& [row, result] : {std::pair(&first[i], &kept[0]), std::pair(&second[i], &kept[1])})
      for (const auto& [key, value] : row->items())
        if (!key.starts_with("time/")) (*result)[key] = value;
    EXPECT_EQ(kept[0], kept[1]);
  }
  EXPECT_GT(stamps.size(), 1U) << "the clock has not jumped";
}

}  // namespace
}  // namespace thinktune::cli
