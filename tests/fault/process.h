// The program itself as a child process that can be sent signals.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cli/program.h"

namespace thinktune::fault {
namespace fs = std::filesystem;

// All that a run has computed, times aside: metrics, evaluations and their answers, rollouts, weights and optimiser.
inline std::map<std::string, std::string> results_of(const fs::path& output, int64_t last_step) {
  std::map<std::string, std::string> all;
  for (const char* folder : {"rollouts", "eval"})
    for (const auto& [name, content] : cli::snapshot(output / folder)) all[std::string(folder) + "/" + name] = content;
  for (const char* name : {"metrics.jsonl", "eval.jsonl"})
    for (const cli::json& row : cli::read_rows(output / name)) {
      cli::json kept;
      for (const auto& [key, value] : row.items())
        if (!key.starts_with("time/")) kept[key] = value;
      all[name] += kept.dump() + "\n";
    }
  for (const char* name : {"model.safetensors", "training_state.safetensors"})
    all[name] = cli::read_text(output / "checkpoints" / ("step-" + std::to_string(last_step)) / name);
  return all;
}

// The same bytes of everything.
inline void expect_same_results(const fs::path& a, const fs::path& b, int64_t last_step) {
  const auto first = results_of(a, last_step), second = results_of(b, last_step);
  ASSERT_GE(first.size(), 5U);
  EXPECT_EQ(first.size(), second.size());
  for (const auto& [name, content] : first) {
    EXPECT_FALSE(content.empty()) << name;
    EXPECT_TRUE(second.contains(name) && content == second.at(name)) << name << " differs";
  }
}

class Process {
 public:
  // `variables` are added to the environment: "NAME=value".
  Process(std::vector<std::string> arguments, const fs::path& folder, const std::vector<std::string>& variables = {})
      : out_(folder / "stdout"), err_(folder / "stderr") {
    arguments.insert(arguments.begin(), TT_BINARY);
    std::vector<char*> argv;
    for (std::string& word : arguments) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ != 0) return;
    for (const auto& [file, fd] : {std::pair(out_, STDOUT_FILENO), std::pair(err_, STDERR_FILENO)})
      ::dup2(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), fd);
    ::setenv("OMP_NUM_THREADS", "1", 1);
    ::setenv("NO_COLOR", "1", 1);
    ::unsetenv("THINKTUNE_LOG");
    ::signal(SIGHUP, SIG_DFL);  // these tests may run under nohup
    for (const std::string& variable : variables)
      ::setenv(variable.substr(0, variable.find('=')).c_str(), variable.substr(variable.find('=') + 1).c_str(), 1);
    ::execv(TT_BINARY, argv.data());
    ::_exit(127);
  }
  ~Process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const {
    if (pid_ > 0) ::kill(pid_, signal);  // -1 would be every process
  }

  // Whether it has a handler of its own for the signal.
  bool catches(int signal) const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    const std::string name = "SigCgt:";
    for (std::string line; std::getline(status, line);)
      if (line.starts_with(name))
        return ((std::stoull(line.substr(name.size()), nullptr, 16) >> (signal - 1)) & 1) != 0;
    return false;
  }

  // The exit code, 128 + N for a process that signal N killed.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // False if it does not come within a minute, or before the process ends.
  bool wait_until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition()) {
      siginfo_t info{};
      const bool ended =
          ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
      if (ended || std::chrono::steady_clock::now() > end) return condition();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  std::string out() const { return cli::read_text(out_); }
  std::string err() const { return cli::read_text(err_); }

 private:
  fs::path out_, err_;
  pid_t pid_ = -1;
};

}  // namespace thinktune::fault
