// `train` with several ranks: started by --nproc, by a launcher's environment, in network namespaces of their own.
#include <array>
#include <cmath>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "program.h"

namespace thinktune::cli {
namespace {

// Processes whose command line names `folder`.
std::vector<pid_t> processes_of(const fs::path& folder) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string words((std::istreambuf_iterator<char>(file)), {});
    if (words.find(folder.string()) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

std::string variable_of(pid_t process, const std::string& name) {
  std::ifstream file(fmt::format("/proc/{}/environ", process), std::ios::binary);
  for (std::string entry; std::getline(file, entry, '\0');)
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  return "";
}

class RanksProgram : public ProgramTest {
 protected:
  // Long enough to be interrupted.
  void write_long_config() { write_config({{"steps", 100000}, {"checkpoint", {{"every", 1}}}}); }

  // Runs `action` beside the program, once its first checkpoint is there.
  Outcome train_while(const std::vector<std::string>& more, const std::function<void()>& action) {
    std::thread beside([&] {
      for (int i = 0; i < 6000 && !fs::exists(output_ / "checkpoints" / "step-1" / "manifest.json"); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      action();
    });
    const Outcome outcome = train(more);
    beside.join();
    return outcome;
  }

  void send_to_rank(const std::string& rank, int signal) const {
    for (const pid_t process : processes_of(folder_.path()))
      if (variable_of(process, "RANK") == rank) {
        ::kill(process, signal);
        return;
      }
    ADD_FAILURE() << "no process of rank " << rank;
  }

  // Runs two ranks, each started by a launcher that sets `variables` and prefixes[rank]; what they say is in 0.txt and
  // 1.txt.
  void train_two(const std::array<std::string, 2>& prefixes, const std::string& variables) {
    const auto log = [&](int rank) { return folder_.path() / fmt::format("{}.txt", rank); };
    const auto start = [&](int rank) {
      return std::system(fmt::format("{} env RANK={} WORLD_SIZE=2 {} OMP_NUM_THREADS=1 {} train --config {} >{} 2>&1",
                                     prefixes[static_cast<size_t>(rank)], rank, variables, TT_BINARY, config_.string(),
                                     log(rank).string())
                             .c_str());
    };
    int other = -1;
    std::thread beside([&] { other = start(1); });
    const int first = start(0);
    beside.join();
    EXPECT_EQ(first, 0) << read_text(log(0));
    EXPECT_EQ(other, 0) << read_text(log(1));
    EXPECT_TRUE(fs::exists(output_ / "checkpoints" / "step-2" / "manifest.json"));
  }

  void expect_whole_checkpoint() {
    const Outcome resumed = train({"--resume", "--stop-after", "1"});
    expect_success(resumed);
    EXPECT_THAT(resumed.err, Not(HasSubstr("passed over")));
  }
};

TEST_F(RanksProgram, NprocGivesTheFilesOfOneRank) {
  write_config({{"comm", {{"fixed_order", true}}}, {"threads", 1}});
  expect_success(train());
  const fs::path alone = folder_.path() / "alone";
  fs::rename(output_, alone);
  const Outcome two = train({"--nproc", "2"});
  expect_success(two);
  EXPECT_THAT(two.out, HasSubstr("all files of the run"));
  EXPECT_THAT(two.err, HasSubstr("2 ranks, started by --nproc"));
  const auto a = snapshot(alone), b = snapshot(output_);
  for (const auto& [name, content] : a)
    if (name.find("time") == std::string::npos && (name.ends_with(".safetensors") || name.starts_with("rollouts"))) {
      ASSERT_TRUE(b.contains(name)) << name;
      EXPECT_TRUE(b.at(name) == content) << name;
    }
}

TEST_F(RanksProgram, AnErrorOfAllRanksIsSaidOnce) {
  write_text(output_, "a file\n");
  const Outcome refused = train({"--nproc", "2"});
  EXPECT_EQ(refused.exit_code, kUser);
  const size_t error = refused.err.rfind("error: ");
  ASSERT_NE(error, std::string::npos);
  EXPECT_THAT(refused.err.substr(error), HasSubstr("Not a directory"));
  write_text(data_, "{\"id\": \"a\"\n");
  const Outcome bad_data = train({"--nproc", "2"});
  EXPECT_EQ(bad_data.exit_code, kData);
  EXPECT_EQ(bad_data.err.find("error: "), bad_data.err.rfind("error: ")) << bad_data.err;
}

TEST_F(RanksProgram, AKilledRankEndsTheOthersAndIsNamedLast) {
  write_long_config();
  const Outcome outcome = train_while({"--nproc", "2"}, [&] { send_to_rank("1", SIGKILL); });
  EXPECT_EQ(outcome.exit_code, kDevice) << outcome.err;
  EXPECT_THAT(outcome.err.substr(outcome.err.rfind("error: ")),
              AllOf(StartsWith("error: rank 1 of 2 was killed by signal 9"), HasSubstr("memory was used up"),
                    HasSubstr("\n  saved, and whole: " + (output_ / "checkpoints" / "step-").string()),
                    HasSubstr("\n  to go on: " + std::string(TT_BINARY) + " train --config " + config_.string() +
                              " --nproc 2 --resume\n")));
  EXPECT_TRUE(processes_of(folder_.path()).empty());
  expect_whole_checkpoint();
}

TEST_F(RanksProgram, AStoppedRankEndsTheRunWithinTheTimeOut) {
  write_long_config();
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome =
      train_while({"--nproc", "2", "--set", "comm.timeout_s=4"}, [&] { send_to_rank("0", SIGSTOP); });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  EXPECT_EQ(outcome.exit_code, kDevice) << outcome.err;
  const std::string last = outcome.err.substr(outcome.err.rfind("error: "));
  EXPECT_THAT(last, StartsWith("error: rank 1, step "));
  EXPECT_THAT(last, HasSubstr("has not completed after 4 s; rank 0 does not answer"));
  EXPECT_THAT(last, HasSubstr("\n  saved, and whole: " + (output_ / "checkpoints" / "step-").string()));
  EXPECT_THAT(last, Not(HasSubstr("nothing was saved")));
  EXPECT_TRUE(processes_of(folder_.path()).empty());
  expect_whole_checkpoint();
}

TEST_F(RanksProgram, ASignalIsPassedOn) {
  write_long_config();
  const Outcome outcome = train_while({"--nproc", "2"}, [&] {
    for (const pid_t process : processes_of(folder_.path()))
      if (variable_of(process, "RANK").empty()) ::kill(process, SIGTERM);
  });
  EXPECT_EQ(outcome.exit_code, 128 + SIGTERM) << outcome.err;
  EXPECT_TRUE(processes_of(folder_.path()).empty());
  expect_whole_checkpoint();
}

TEST_F(RanksProgram, BadEnvironmentsAreRefused) {
  const auto refused_with = [&](const std::map<std::string, std::string>& values, const std::string& what,
                                const std::vector<std::string>& more = {}) {
    const Variables set(values);
    expect_refused_untouched({what}, more);
  };
  refused_with({{"RANK", "1"}}, "WORLD_SIZE is not set in the environment, but RANK is");
  refused_with({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "x"}, {"MASTER_PORT", "1"}},
               "rank 2 of 2 ranks");
  refused_with({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_PORT", "1"}}, "MASTER_ADDR is not");
  refused_with(
      {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "7"}},
      "--nproc starts ranks itself, but this process is rank 0 of 2 of torchrun", {"--nproc", "2"});
  refused_with(
      {{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "7"}},
      "rank 1 of 2 has not met the others at 127.0.0.1:7", {"--set", "comm.timeout_s=1"});
}

// Two machines, as far as the network is concerned: namespaces joined by a pair of virtual interfaces.
TEST_F(RanksProgram, RanksInNetworkNamespacesOfTheirOwn) {
  const auto shell = [](const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); };
  const std::string a = fmt::format("tta{}", ::getpid()), b = fmt::format("ttb{}", ::getpid());
  const auto clean = [&] { shell(fmt::format("ip netns del {}; ip netns del {}", a, b)); };
  const std::string set_up = fmt::format(
      "ip netns add {0} && ip netns add {1} && ip link add {0} netns {0} type veth peer name {1} netns {1} && "
      "ip -n {0} addr add 10.213.7.1/24 dev {0} && ip -n {1} addr add 10.213.7.2/24 dev {1} && "
      "ip -n {0} link set {0} up && ip -n {1} link set {1} up && ip -n {0} link set lo up && ip -n {1} link set lo up",
      a, b);
  if (shell(set_up) != 0) {
    clean();
    GTEST_SKIP() << "network namespaces cannot be made here (ip netns; it needs iproute2 and the right to)";
  }
  write_config({{"comm", {{"timeout_s", 60}}}});
  train_two({"ip netns exec " + a, "ip netns exec " + b},
            "LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=10.213.7.1 MASTER_PORT=29511");
  clean();
}

// torchrun's agent holds MASTER_PORT with a store of its own, which all its ranks use.
TEST_F(RanksProgram, RanksUseTheStoreOfTorchrunsAgent) {
  c10d::TCPStoreOptions options;
  options.isServer = true;
  options.port = 0;
  options.numWorkers = 1;  // the agents
  const c10d::TCPStore agent("127.0.0.1", options);
  write_config({{"comm", {{"timeout_s", 60}}}});
  train_two({"env LOCAL_RANK=0", "env LOCAL_RANK=1"},
            fmt::format("LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={} TORCHELASTIC_USE_AGENT_STORE=True "
                        "TORCHELASTIC_RESTART_COUNT=0 TORCHELASTIC_RUN_ID=none",
                        agent.getPort()));
  EXPECT_THAT(read_text(folder_.path() / "0.txt"), HasSubstr("2 ranks, started by torchrun"));
}

}  // namespace
}  // namespace thinktune::cli
