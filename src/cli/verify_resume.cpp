#include "cli/verify_resume.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "cli/command_line.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::cli {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// One of the runs: a child process with this process's command line and settings that do not change what is computed.
class ChildRun {
 public:
  ChildRun(const fs::path& output, int64_t steps, bool resume) : log_(output.string() + ".log") {
    std::vector<std::string> words = own_command_line();
    std::erase_if(words, [](const std::string& word) {
      return word == "--verify-resume" || word == "--resume" || word.starts_with("--resume=");
    });
    if (const auto own = std::find(words.begin(), words.end(), "--stop-after"); own != words.end())
      words.erase(own, std::min(own + 2, words.end()));
    std::erase_if(words, [](const std::string& word) { return word.starts_with("--stop-after="); });
    words.insert(words.end(), {"--stop-after", std::to_string(steps)});
    for (const std::string& setting :
         {"output=" + output.string(), std::string("checkpoint.every=1"), std::string("checkpoint.keep_last=1"),
          std::string("checkpoint.keep_best=0"), std::string("eval.every=0"), std::string("eval.at_start=false"),
          std::string("report.rollouts_every=1"), std::string("report.tensorboard=false")})
      words.insert(words.end(), {"--set", setting});
    if (resume) words.push_back("--resume");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    const int code = posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) throw core::device_error(fmt::format("cannot start a process: {}", std::strerror(code)));
  }
  ChildRun(const ChildRun&) = delete;
  ChildRun& operator=(const ChildRun&) = delete;
  ~ChildRun() { kill(); }

  bool has_ended() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
  }

  void kill() {
    if (has_ended()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
    pid_ = -1;
  }

  // Throws if it ends in another way than well.
  void wait() {
    while (!has_ended()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return;
    throw core::user_error(fmt::format("a run of three steps has failed; what it said is in {}", log_.string()),
                           "mend that first: the run itself would fail in the same way");
  }

 private:
  fs::path log_;
  pid_t pid_ = -1;
  int status_ = 0;
};

fs::path checkpoint_of(const fs::path& output, int64_t step) {
  return output / "checkpoints" / fmt::format("step-{}", step);
}

bool is_whole(const fs::path& output, int64_t step) {
  return fs::exists(checkpoint_of(output, step) / "manifest.json");
}

std::vector<json> rows_of(const fs::path& file) {
  std::vector<json> rows;
  std::istringstream lines(core::read_file(file, "metrics"));
  for (std::string line; std::getline(lines, line);) {
    const json row = json::parse(line);
    json& kept = rows.emplace_back();
    for (const auto& [key, value] : row.items())
      if (!key.starts_with("time/")) kept[key] = value;
  }
  return rows;
}

[[noreturn]] void differ(const fs::path& a, const fs::path& b, const std::string& where) {
  throw core::device_error(fmt::format("the resumed run differs: {} and {} {}", a.string(), b.string(), where),
                           "something in this run depends on more than its seed: a reward.command with a clock or "
                           "random numbers, or another "
                           "number of threads; with a GPU also its libraries. Both runs' files are kept");
}

void compare_metrics(const fs::path& a, const fs::path& b) {
  const std::vector<json> first = rows_of(a), second = rows_of(b);
  if (first.size() != second.size()) differ(a, b, fmt::format("have {} and {} rows", first.size(), second.size()));
  for (size_t i = 0; i < first.size(); ++i)
    for (const auto& [key, value] : first[i].items())
      if (!second[i].contains(key) || second[i][key] != value)
        differ(a, b,
               fmt::format("in row {}, {}: {} and {}", i + 1, key, value.dump(),
                           second[i].contains(key) ? second[i][key].dump() : "nothing"));
}

void compare_bytes(const fs::path& a, const fs::path& b) {
  if (!fs::exists(b)) differ(a, b, "(which is not there)");
  const core::MappedFile first(a), second(b);
  const std::byte* end = first.data() + std::min(first.size(), second.size());
  const auto place = std::mismatch(first.data(), end, second.data()).first;
  if (place != end || first.size() != second.size())
    differ(a, b, fmt::format("at byte {} ({} and {} bytes)", place - first.data(), first.size(), second.size()));
}

// Weights, moments and tokenizer of the last checkpoint, all rollouts, all metrics. Throws Error{Device} at the first
// difference; returns the number of files.
int64_t compare(const fs::path& a, const fs::path& b, int64_t steps) {
  int64_t count = 1;
  compare_metrics(a / "metrics.jsonl", b / "metrics.jsonl");
  for (const auto& [first, second] :
       {std::pair(a / "rollouts", b / "rollouts"), std::pair(checkpoint_of(a, steps), checkpoint_of(b, steps))})
    for (const auto& entry : fs::directory_iterator(first)) {
      const fs::path name = entry.path().filename();
      if (name == "manifest.json" || name == "state.json") continue;  // they hold the name of the output folder
      compare_bytes(entry.path(), second / name);
      ++count;
    }
  return count;
}

// Runs to the checkpoint of the first step, is killed in the middle of the second, and gone on with. What happened, for
// people.
std::string run_with_a_kill(const fs::path& output, int64_t steps, double step_s) {
  std::string what = "killed (SIGKILL) in the second step";
  {
    ChildRun run(output, steps, false);
    while (!run.has_ended() && !is_whole(output, 1)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!run.has_ended()) std::this_thread::sleep_for(std::chrono::duration<double>(0.5 * step_s));
    if (run.has_ended()) run.wait();
    run.kill();
  }
  int64_t done = 0;
  for (int64_t step = 1; step <= steps; ++step)
    if (is_whole(output, step)) done = step;
  if (done == steps) {  // steps of milliseconds
    fs::remove_all(output);
    ChildRun(output, 1, false).wait();
    done = 1;
    what = "stopped after the first step (its steps are too short to be hit by a kill)";
  }
  ChildRun(output, steps - done, true).wait();
  return what;
}

}  // namespace

int verify_resume(const train::TrainOptions& options) {
  const int64_t steps = std::min<int64_t>(3, options.steps);
  if (steps < 2) throw core::user_error("steps is 1: there is nothing to resume", "give at least 2 steps");
  const fs::path base = fs::path(options.output + ".verify-resume");
  fs::remove_all(base);
  core::make_folders(base);
  const fs::path whole = base / "whole", resumed = base / "resumed";
  ChildRun(whole, steps, false).wait();
  double step_s = 0;
  std::istringstream lines(core::read_file(whole / "metrics.jsonl", "metrics"));
  for (std::string line; std::getline(lines, line);) step_s = json::parse(line).value("time/step_s", 0.0);
  const std::string what = run_with_a_kill(resumed, steps, step_s);
  const int64_t count = compare(whole, resumed, steps);
  std::printf(
      "%ld steps in one go, and %ld steps %s and resumed: the same bytes in all %ld files (weights, optimiser, "
      "rollouts, metrics but for times)\n",
      static_cast<long>(steps), static_cast<long>(steps), what.c_str(), static_cast<long>(count));
  fs::remove_all(base);
  return 0;
}

}  // namespace thinktune::cli
