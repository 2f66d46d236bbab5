// The commands do what they say, on a tiny model: train, go on, measure, generate, compare.
#include "program.h"

namespace thinktune::cli {
namespace {

class Commands : public ProgramTest {
 protected:
  std::string last_checkpoint() const { return (output_ / "checkpoints" / "step-2").string(); }
};

TEST_F(Commands, TrainWritesAllItsFiles) {
  const Outcome outcome = train();
  expect_success(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("zero-shot"), HasSubstr("after step 2"), HasSubstr(last_checkpoint())));
  for (const char* name : {"config.json", "log.txt", "metrics.jsonl", "eval.jsonl", "eval/step-0.jsonl",
                           "eval/step-2.jsonl", "rollouts/step-1.jsonl", "rollouts/step-2.jsonl", "tensorboard",
                           "checkpoints/step-2/model.safetensors", "checkpoints/step-2/config.json",
                           "checkpoints/step-2/tokenizer.json", "checkpoints/step-2/tokenizer_config.json",
                           "checkpoints/step-2/generation_config.json", "checkpoints/step-2/manifest.json"})
    EXPECT_TRUE(fs::exists(output_ / name)) << name;
  const auto steps = read_rows(output_ / "metrics.jsonl");
  ASSERT_EQ(steps.size(), 2u);
  for (const json& step : steps) {
    EXPECT_EQ(step.at("response/count"), 4);
    for (const char* key :
         {"reward/mean", "mismatch/max", "mismatch/p99", "time/sample_s", "time/teacher_s", "time/update_s"})
      EXPECT_TRUE(step.contains(key)) << key;
  }
  const auto rollouts = read_rows(output_ / "rollouts" / "step-1.jsonl");
  ASSERT_EQ(rollouts.size(), 4u);
  for (const json& rollout : rollouts)
    for (const char* key : {"messages", "text", "spans", "reward", "reason", "advantage", "guided"})
      EXPECT_TRUE(rollout.contains(key)) << key;
}

// Two processes, stopped in between, leave what one leaves: weights, optimiser, metrics.
TEST_F(Commands, ResumeEqualsARunThatWasNotStopped) {
  write_config({{"steps", 4}, {"checkpoint", {{"every", 2}}}});
  expect_success(train());
  const fs::path other = folder_.path() / "stopped";
  expect_success(train({"--set", "output=" + other.string(), "--stop-after", "2"}));
  EXPECT_FALSE(fs::exists(other / "checkpoints" / "step-4"));
  expect_success(train({"--set", "output=" + other.string(), "--resume"}));
  for (const char* file : {"model.safetensors", "training_state.safetensors"})
    EXPECT_TRUE(read_text(output_ / "checkpoints/step-4" / file) == read_text(other / "checkpoints/step-4" / file))
        << file;
  const auto whole = read_rows(output_ / "metrics.jsonl"), parts = read_rows(other / "metrics.jsonl");
  ASSERT_EQ(whole.size(), 4u);
  ASSERT_EQ(parts.size(), 4u);
  for (size_t i = 0; i < whole.size(); ++i)
    for (const auto& [key, value] : whole[i].items()) {
      if (!key.starts_with("time/")) {
        EXPECT_EQ(parts[i].at(key), value) << key;
      }
    }
}

TEST_F(Commands, EvalOfTheCheckpointIsWhatTheRunMeasured) {
  expect_success(train());
  const fs::path answers = folder_.path() / "answers.jsonl";
  const Outcome outcome =
      run_program({"eval", "--config", config_.string(), "--model", last_checkpoint(), "--output", answers.string()});
  expect_success(outcome);
  const auto now = read_rows(answers), then = read_rows(output_ / "eval/step-2.jsonl");
  ASSERT_EQ(now.size(), then.size());
  for (size_t i = 0; i < now.size(); ++i) {
    EXPECT_EQ(now[i].at("id"), then[i].at("id"));
    EXPECT_EQ(now[i].at("output"), then[i].at("text"));
    EXPECT_EQ(now[i].at("right"), then[i].at("verdict") == "right");
  }
}

TEST_F(Commands, GenerateIsAFunctionOfTheSeed) {
  const auto ids = [this](const std::string& seed) {
    return run_program({"generate", "--model", model_.string(), "--prompt", "1+1?", "--raw", "--ids", "--temperature",
                        "1", "--seed", seed, "--max-new-tokens", "12"})
        .out;
  };
  EXPECT_NE(ids("1"), "");
  EXPECT_EQ(ids("1"), ids("1"));
  EXPECT_NE(ids("1"), ids("2"));
}

TEST_F(Commands, CompareMakesATableOfRuns) {
  expect_success(train());
  const fs::path plain = folder_.path() / "plain";
  expect_success(train({"--set", "guidance.enabled=false", "--set", "output=" + plain.string()}));
  const Outcome table = run_program({"compare", "ThinkTuning=" + output_.string(), plain.string() + "/"});
  expect_success(table);
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("zero-shot"), HasSubstr("ThinkTuning"), HasSubstr("plain"), HasSubstr("95 % interval")));
  expect_refused(run_program({"compare", model_.string()}), {"is not the output folder of a run"});
}

TEST_F(Commands, AFullStandardOutputIsAnError) {
  expect_refused(run_program({"docs"}, {.standard_output = "/dev/full"}),
                 {"cannot write the result to the standard output"});
}

}  // namespace
}  // namespace thinktune::cli
