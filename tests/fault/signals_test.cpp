// Signals that ask the program to stop or to save, and what it says when it stops.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>

#include "fault/process.h"

namespace thinktune::cli {
namespace {

using fault::Process;

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

class Signals : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_config({{"steps", 40}, {"rollout", {{"max_new_tokens", 40}}}, {"eval", {{"every", 25}}}});
  }

  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"train", "--config", config_.string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::string call() const { return std::string(TT_BINARY) + " train --config " + config_.string(); }

  // The environment of one of two ranks.
  static std::vector<std::string> one_of_two(int rank, int port) {
    return {"RANK=" + std::to_string(rank), "LOCAL_RANK=" + std::to_string(rank), "WORLD_SIZE=2", "LOCAL_WORLD_SIZE=2",
            "MASTER_ADDR=127.0.0.1",        "MASTER_PORT=" + std::to_string(port)};
  }

  // Of a run whose steps take long enough to be met by a signal.
  std::vector<std::string> long_steps() const {
    return command({"--set", "rollout.max_new_tokens=600", "--set", "rollout.prompts_per_step=40", "--set", "steps=2"});
  }
  void wait_for_the_first_step(Process& process) const {
    ASSERT_TRUE(process.wait_until([&] { return fs::exists(output_ / "config.json"); })) << process.err();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // signals are watched right after
  }

  int64_t num_rows() const {
    return fs::exists(output_ / "metrics.jsonl") ? std::ssize(read_rows(output_ / "metrics.jsonl")) : 0;
  }
  std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    if (fs::exists(output_ / "checkpoints"))
      for (const auto& entry : fs::directory_iterator(output_ / "checkpoints"))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  void expect_equal_to_undisturbed() {
    const fs::path undisturbed = folder_.path() / "undisturbed";
    expect_success(train({"--set", "output=" + undisturbed.string()}));
    fault::expect_same_results(undisturbed, output_, 40);
  }
};

TEST_F(Signals, AStopSavesAndSaysHowToGoOn) {
  for (const auto& [signal, name, rows] :
       {std::tuple(SIGTERM, "SIGTERM", 3), std::tuple(SIGINT, "SIGINT", 8), std::tuple(SIGHUP, "SIGHUP", 12)}) {
    const bool resumes = fs::exists(output_);
    Process process(command(resumes ? std::vector<std::string>{"--resume"} : std::vector<std::string>{}),
                    folder_.path());
    ASSERT_TRUE(process.wait_until([&, rows = rows] { return num_rows() >= rows; })) << process.err();
    process.send(signal);
    EXPECT_EQ(process.wait(), 128 + signal) << process.err();
    const int64_t steps = num_rows();
    EXPECT_LT(steps, 40);
    EXPECT_TRUE(fs::exists(output_ / "checkpoints" / ("step-" + std::to_string(steps)) / "manifest.json"));
    EXPECT_THAT(
        process.err(),
        AllOf(HasSubstr("stopped by " + std::string(name) + " after step " + std::to_string(steps) + " of 40"),
              HasSubstr("saved, and whole: " + (output_ / "checkpoints" / ("step-" + std::to_string(steps))).string()),
              HasSubstr("to go on: " + std::string(TT_BINARY) + " train --config " + config_.string() + " --resume")));
    EXPECT_THAT(process.err(), Not(HasSubstr("error: ")));
  }
  expect_success(train({"--resume"}));
  expect_equal_to_undisturbed();
}

// `train | tee` whose tee has ended.
TEST_F(Signals, NobodyReadsWhatIsPrinted) {
  write_config({{"steps", 3}});
  for (const char* ranks : {"", " --nproc 2"}) {
    SCOPED_TRACE(ranks);
    const std::string in_shell = "bash -c '" + call() + ranks + " 2>&1 | head -n 1 > /dev/null; exit ${PIPESTATUS[0]}'";
    EXPECT_EQ(std::system(in_shell.c_str()), 0);
    EXPECT_TRUE(fs::exists(output_ / "checkpoints" / "step-3" / "manifest.json"));
    fs::remove_all(output_);
  }
}

TEST_F(Signals, ASecondOneEndsAtOnceAndLosesNothingSaved) {
  write_config({{"steps", 40},
                {"rollout", {{"max_new_tokens", 40}}},
                {"eval", {{"every", 25}}},
                {"checkpoint", {{"every", 1}}}});
  Process process(command(), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return num_rows() >= 4; })) << process.err();
  process.send(SIGTERM);
  process.send(SIGINT);
  EXPECT_THAT(process.wait(), ::testing::AnyOf(128 + SIGINT, 128 + SIGTERM));
  EXPECT_THAT(process.err(), HasSubstr("\nsecond signal: ended at once\n  saved, and whole: " +
                                       (output_ / "checkpoints" / "step-").string()));
  EXPECT_THAT(process.err(), HasSubstr("\n  to go on: " + call() + " --resume\n"));
  expect_success(train({"--resume"}));
  expect_equal_to_undisturbed();
}

TEST_F(Signals, ASecondOneSaysThatNothingWasSaved) {
  Process process(long_steps(), folder_.path());
  wait_for_the_first_step(process);
  process.send(SIGTERM);
  process.send(SIGINT);
  EXPECT_THAT(process.wait(), ::testing::AnyOf(128 + SIGINT, 128 + SIGTERM));
  EXPECT_THAT(process.err(), AllOf(HasSubstr("\nsecond signal: ended at once\n  nothing was saved: "),
                                   HasSubstr("\n  to go on: " + call()), HasSubstr(" --resume\n")));
}

// The first of two ranks, which waits for the second as long as it takes.
TEST_F(Signals, AStopInTheSetUpEndsAtOnceAndSaysHowToBegin) {
  for (const auto& [signal, name] : {std::pair(SIGTERM, "SIGTERM"), std::pair(SIGINT, "SIGINT")}) {
    Process process(command(), folder_.path(), one_of_two(0, free_port()));
    ASSERT_TRUE(process.wait_until([&, signal = signal] { return process.catches(signal); })) << process.err();
    process.send(signal);
    EXPECT_EQ(process.wait(), 128 + signal);
    EXPECT_THAT(process.err(), HasSubstr("stopped by " + std::string(name) +
                                         "\n  where: set-up, before the first step; nothing was saved\n"
                                         "  to begin, start all 2 ranks by torchrun with: " +
                                         call() + "\n"));
    EXPECT_FALSE(fs::exists(output_));
  }
}

TEST_F(Signals, ARequestToSaveInTheSetUpIsKept) {
  write_config({{"steps", 3}, {"checkpoint", {{"keep_last", 0}}}});
  const int port = free_port();
  Process first(command(), folder_.path(), one_of_two(0, port));
  ASSERT_TRUE(first.wait_until([&] { return first.catches(SIGUSR1); })) << first.err();
  first.send(SIGUSR1);
  const fs::path beside = folder_.path() / "beside";
  fs::create_directory(beside);
  Process second(command(), beside, one_of_two(1, port));
  EXPECT_EQ(first.wait(), 0) << first.err();
  EXPECT_EQ(second.wait(), 0) << second.err();
  EXPECT_THAT(checkpoints(), ::testing::ElementsAre("step-1", "step-3"));
}

// In an evaluation and in a step, of one rank and of two.
TEST_F(Signals, AStopDoesNotWaitForARewardCommand) {
  const fs::path asked = folder_.path() / "asked";
  const std::string hangs = "read line; trap '' TERM; touch " + asked.string() + "; while :; do sleep 1; done";
  for (const bool in_evaluation : {true, false})
    for (const char* ranks : {"1", "2"}) {
      SCOPED_TRACE(fmt::format("in evaluation: {}, {} ranks", in_evaluation, ranks));
      write_config({{"steps", 2},
                    {"eval", {{"at_start", in_evaluation}}},
                    {"reward", {{"command", {{"weight", 1}, {"time_limit_s", 60}, {"argv", {"sh", "-c", hangs}}}}}}});
      Process process(command({"--nproc", ranks}), folder_.path());
      ASSERT_TRUE(process.wait_until([&] { return fs::exists(asked); })) << process.err();
      const auto start = std::chrono::steady_clock::now();
      process.send(SIGTERM);
      EXPECT_EQ(process.wait(), 128 + SIGTERM) << process.err();
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
      EXPECT_THAT(process.err(), HasSubstr("stopped by SIGTERM after step 0 of 2\n  nothing was saved"));
      EXPECT_EQ(num_rows(), 0);
      EXPECT_TRUE(!fs::exists(output_ / "eval.jsonl") || read_rows(output_ / "eval.jsonl").empty());
      fs::remove_all(output_);
      fs::remove(asked);
    }
}

TEST_F(Signals, UserSignalSavesAndTheRunGoesOn) {
  write_config({{"steps", 40},
                {"rollout", {{"max_new_tokens", 40}}},
                {"eval", {{"every", 25}}},
                {"checkpoint", {{"keep_last", 0}}}});
  Process process(command(), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return num_rows() >= 3; })) << process.err();
  process.send(SIGUSR1);
  EXPECT_EQ(process.wait(), 0) << process.err();
  EXPECT_EQ(checkpoints().size(), 2U) << "the one that was asked for, and the last";
  expect_equal_to_undisturbed();
}

TEST_F(Signals, AStopBeforeTheFirstCheckpointBeginsAnew) {
  Process process(long_steps(), folder_.path());
  wait_for_the_first_step(process);
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 128 + SIGTERM);
  EXPECT_EQ(num_rows(), 0);
  EXPECT_THAT(process.err(), HasSubstr("nothing was saved"));
  const Outcome resumed = train({"--resume"});
  expect_success(resumed);
  EXPECT_THAT(resumed.err, HasSubstr("ended before its first checkpoint; it begins anew"));
  expect_equal_to_undisturbed();
}

// Both ranks stop after the same step.
TEST_F(Signals, AStopOfSeveralRanks) {
  Process process(command({"--nproc", "2", "--set", "threads=1", "--set", "comm.fixed_order=true"}), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return num_rows() >= 3; })) << process.err();
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 128 + SIGTERM) << process.err();
  const int64_t steps = num_rows();
  EXPECT_TRUE(fs::exists(output_ / "checkpoints" / ("step-" + std::to_string(steps)) / "manifest.json"))
      << process.err();
  EXPECT_THAT(process.err(), HasSubstr("stopped by SIGTERM after step " + std::to_string(steps)));
  expect_success(train({"--resume", "--set", "threads=1", "--set", "comm.fixed_order=true"}));
  const fs::path undisturbed = folder_.path() / "undisturbed";
  expect_success(train({"--set", "output=" + undisturbed.string()}));
  for (const char* name : {"model.safetensors", "training_state.safetensors"})
    EXPECT_TRUE(read_text(output_ / "checkpoints" / "step-40" / name) ==
                read_text(undisturbed / "checkpoints" / "step-40" / name));
}

// An evaluation keeps its answers, and goes on after them.
TEST_F(Signals, AStopOfAnEvaluationSaysHowToGoOn) {
  std::string problems;
  for (int i = 0; i < 400; ++i) problems += fmt::format("{{\"problem\": \"{}+1?\", \"answer\": \"{}\"}}\n", i, i + 1);
  const fs::path data = folder_.path() / "many.jsonl", out = folder_.path() / "stopped",
                 whole = folder_.path() / "whole";
  write_text(data, problems);
  const auto words = [&](const fs::path& folder) {
    return std::vector<std::string>{"eval",         "--model", model_.string(),    "--data", data.string(),
                                    "--batch",      "8",       "--max-new-tokens", "40",     "--out",
                                    folder.string()};
  };
  const fs::path samples = out / "many" / "samples.jsonl";
  Process process(words(out), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return fs::exists(samples) && fs::file_size(samples) > 0; })) << process.err();
  process.send(SIGINT);
  EXPECT_EQ(process.wait(), 128 + SIGINT);
  EXPECT_THAT(process.err(), HasSubstr("stopped by SIGINT\n  saved: the answers so far, in " + out.string() +
                                       "\n  to go on: " + TT_BINARY + " eval --model " + model_.string()));
  EXPECT_LT(read_rows(samples).size(), 400U);
  expect_success(run_program(words(out)));
  expect_success(run_program(words(whole)));
  EXPECT_EQ(read_text(samples), read_text(whole / "many" / "samples.jsonl"));
  // So does one that an error has ended.
  const std::string text = read_text(samples);
  write_text(samples, "{}\n" + text);
  expect_refused(run_program(words(out)),
                 {"samples.jsonl:1", "where: many\n  saved: the answers so far, in " + out.string(),
                  "when that is mended, to go on: " + std::string(TT_BINARY) + " eval"},
                 kData);
}

// A stop by an error says where it was, what was saved, and how to go on.
TEST_F(Signals, AnErrorSaysWhatWasSavedAndHowToGoOn) {
  write_config({{"steps", 40}, {"checkpoint", {{"every", 1}}}});
  Process process(command({"--set", "prompt.suffix= it's"}), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return fs::exists(output_ / "checkpoints" / "step-2" / "manifest.json"); }))
      << process.err();
  fs::rename(output_ / "rollouts", folder_.path() / "gone");  // at once: the run may be writing there at this moment
  EXPECT_EQ(process.wait(), 2);
  EXPECT_THAT(process.err(),
              AllOf(HasSubstr("error: cannot write " + (output_ / "rollouts" / "step-").string()),
                    HasSubstr("where: step "), HasSubstr(", report; "), HasSubstr(" of 40 steps are done"),
                    HasSubstr("saved, and whole: " + (output_ / "checkpoints" / "step-").string()),
                    HasSubstr("to go on: " + std::string(TT_BINARY) + " train --config " + config_.string() +
                              " --set 'prompt.suffix= it'\\''s' --resume")));
}

// So does one before the first step.
TEST_F(Signals, AnErrorInTheSetUpSaysHowToBegin) {
  write_config({{"steps", 2}});
  const std::string nothing = "where: set-up, before the first step; nothing was saved";
  const std::string program = std::string(TT_BINARY) + " train --config ";
  const std::string call = program + config_.string();
  const std::string to_begin = "when that is mended, to begin: ", to_go_on = "when that is mended, to go on: ";

  // A config that is not there, a setting, a model, data: known before the folder is made.
  const fs::path absent = folder_.path() / "absent";
  expect_refused(run_program({"train", "--config", absent.string()}), {nothing, to_begin + program + absent.string()});
  expect_refused_untouched({"optim.lr", nothing, to_begin + call + " --set optim.lr=-1"}, {"--set", "optim.lr=-1"});
  for (const std::string setting : {"model=", "data.train_file="})
    expect_refused_untouched({absent.string(), nothing, to_begin + call + " --set " + setting + absent.string()},
                             {"--set", setting + absent.string()});

  // What the folder holds: known when it is locked.
  expect_success(train());
  expect_refused(train(), {nothing, to_begin + call + "\n",
                           "to go on with the run in " + output_.string() + ": " + call + " --resume"});
  expect_refused(train({"--resume=7"}), {"there is no checkpoint 7", nothing, to_go_on + call + " --resume=7"});
  expect_refused(train({"--resume"}), {"is finished", "saved, and whole: " + (output_ / "checkpoints/step-2").string(),
                                       to_go_on + call + " --resume"});
}

}  // namespace
}  // namespace thinktune::cli
