#include "cli/verify_resume.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "cli/command_line.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/folder_lock.h"

namespace thinktune::cli {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// One of the runs: a child process with this process's command line and settings that do not change what is computed.
class ChildRun {
 public:
  ChildRun(const fs::path& output, int64_t steps, bool resume) : output_(output), log_(output.string() + ".log") {
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
          std::string("checkpoint.keep_best=0"), std::string("eval.every=1"), std::string("eval.at_start=false"),
          std::string("eval.num_problems=4"), std::string("report.rollouts_every=1"),
          std::string("report.tensorboard=false")})
      words.insert(words.end(), {"--set", setting});
    if (resume) words.push_back("--resume");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw core::device_error(fmt::format("cannot start a process: {}", std::strerror(errno)));
    if (pid_ > 0) return;
    const int log = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const bool dies_with_us = ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent;
    if (dies_with_us && ::dup2(log, STDOUT_FILENO) >= 0 && ::dup2(log, STDERR_FILENO) >= 0)
      ::execve("/proc/self/exe", argv.data(), environ);
    ::_exit(core::exit_code(core::ErrorKind::Device));
  }
  ChildRun(const ChildRun&) = delete;
  ChildRun& operator=(const ChildRun&) = delete;
  ~ChildRun() { end(); }

  bool has_ended() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
  }

  // Kills (SIGKILL) the run and waits for its end. False: it had ended by itself; throws if not well.
  bool kill() {
    if (has_ended()) {
      check();
      return false;
    }
    end();
    return true;
  }

  // Throws if it ends in another way than well.
  void wait() {
    while (!has_ended()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    check();
  }

 private:
  // With the run's own kind of error.
  void check() const {
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return;
    core::ErrorKind kind = core::ErrorKind::Device;  // a signal has killed it
    for (const core::ErrorKind one : {core::ErrorKind::User, core::ErrorKind::Data, core::ErrorKind::Internal})
      if (WIFEXITED(status_) && WEXITSTATUS(status_) == core::exit_code(one)) kind = one;
    throw core::Error(kind, fmt::format("a run of three steps has failed; what it said is in {}", log_.string()),
                      "mend that first: the run itself would fail in the same way");
  }

  void end() {
    if (has_ended()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
    pid_ = -1;
    // Ranks die with their launcher, a moment later.
    for (int i = 0; i < 1000 && fs::is_directory(output_) && is_locked(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  bool is_locked() const {
    try {
      const core::FolderLock lock(output_);
      return false;
    } catch (const core::Error&) {
      return true;
    }
  }

  fs::path output_, log_;
  pid_t pid_ = -1;
  int status_ = 0;
};

fs::path checkpoint_of(const fs::path& output, int64_t step) {
  return output / "checkpoints" / fmt::format("step-{}", step);
}

bool is_whole(const fs::path& output, int64_t step) {
  return fs::exists(checkpoint_of(output, step) / "manifest.json");
}

json without_times(const json& row) {
  json kept = json::object();
  for (const auto& [key, value] : row.items())
    if (!key.starts_with("time/")) kept[key] = value;
  return kept;
}

std::vector<json> rows_of(const fs::path& file) {
  std::vector<json> rows;
  std::istringstream lines(core::read_file(file, "metrics"));
  for (std::string line; std::getline(lines, line);) rows.push_back(without_times(json::parse(line)));
  return rows;
}

// The state of a checkpoint without the name of the run's folder, all in which two equal runs may differ.
json state_of(const fs::path& file) {
  json state = json::parse(core::read_file(file, "run state"));
  json config = json::parse(state.at("config").get<std::string>());
  config.erase("output");
  state["config"] = config;
  return state;
}

[[noreturn]] void differ(const fs::path& a, const fs::path& b, const std::string& where) {
  throw core::device_error(fmt::format("the resumed run differs: {} and {} {}", a.string(), b.string(), where),
                           "something in this run depends on more than its seed: a reward.command with a clock or "
                           "random numbers, or another number of threads; with a GPU also its libraries. Both runs' "
                           "files are kept");
}

void compare_fields(const fs::path& a, const fs::path& b, const json& first, const json& second,
                    const std::string& where) {
  for (const auto& [one, other] : {std::pair(&first, &second), std::pair(&second, &first)})
    for (const auto& [key, value] : one->items())
      if (!other->contains(key) || (*other)[key] != value)
        differ(a, b,
               fmt::format("{}{}: {} and {}", where, key, first.contains(key) ? first[key].dump() : "nothing",
                           second.contains(key) ? second[key].dump() : "nothing"));
}

void compare_rows(const fs::path& a, const fs::path& b) {
  const std::vector<json> first = rows_of(a), second = rows_of(b);
  if (first.size() != second.size()) differ(a, b, fmt::format("have {} and {} rows", first.size(), second.size()));
  for (size_t i = 0; i < first.size(); ++i)
    compare_fields(a, b, first[i], second[i], fmt::format("in row {}, ", i + 1));
}

void compare_bytes(const fs::path& a, const fs::path& b) {
  const core::MappedFile first(a), second(b);
  const std::byte* end = first.data() + std::min(first.size(), second.size());
  const auto place = std::mismatch(first.data(), end, second.data()).first;
  if (place != end || first.size() != second.size())
    differ(a, b, fmt::format("at byte {} ({} and {} bytes)", place - first.data(), first.size(), second.size()));
}

// None of a folder that is not there, or that a run removes at this moment.
std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code gone;
  for (fs::directory_iterator it(folder, gone), end; it != end; it.increment(gone)) names.insert(it->path().filename());
  return names;
}

// The last checkpoint, all rollouts, all evaluations, all metrics. Throws Error{Device} at the first difference;
// returns the number of files.
int64_t compare(const fs::path& a, const fs::path& b, int64_t steps) {
  int64_t count = 0;
  for (const char* name : {"metrics.jsonl", "eval.jsonl"}) {  // no evaluations without held-out problems
    if (!fs::exists(a / name) && !fs::exists(b / name)) continue;
    compare_rows(a / name, b / name);
    ++count;
  }
  for (const auto& [first, second] : {std::pair(a / "rollouts", b / "rollouts"), std::pair(a / "eval", b / "eval"),
                                      std::pair(checkpoint_of(a, steps), checkpoint_of(b, steps))}) {
    const std::set<std::string> names = names_in(first);
    if (names != names_in(second)) differ(first, second, "do not hold the same files");
    for (const std::string& name : names) {
      if (name == "manifest.json") continue;  // the checksums of the others
      if (name == "state.json")
        compare_fields(first / name, second / name, state_of(first / name), state_of(second / name), "in ");
      else
        compare_bytes(first / name, second / name);
      ++count;
    }
  }
  return count;
}

// Steps that a run has reported; its last line may be half written.
int64_t num_rows(const fs::path& output) {
  if (!fs::exists(output / "metrics.jsonl")) return 0;
  const std::string text = core::read_file(output / "metrics.jsonl", "metrics");
  return std::count(text.begin(), text.end(), '\n');
}

int64_t last_whole(const fs::path& output, int64_t steps) {
  while (steps > 0 && !is_whole(output, steps)) --steps;
  return steps;
}

void wait_until(ChildRun& run, const std::function<bool()>& condition) {
  while (!run.has_ended() && !condition()) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

// Starts a run and kills it `delay_s` after the checkpoint of its first step. Returns the step that it was in; 0: it
// had done all of them.
int64_t kill_in_a_step(const fs::path& output, int64_t steps, double delay_s) {
  ChildRun run(output, steps, false);
  wait_until(run, [&] { return is_whole(output, 1); });
  std::this_thread::sleep_for(std::chrono::duration<double>(delay_s));
  const bool killed = run.kill();
  const int64_t done = num_rows(output);
  return killed && done < steps && is_whole(output, last_whole(output, steps)) ? done + 1 : 0;
}

// Goes on with the run and kills it as soon as files of its next checkpoint are there, under another name than a whole
// one's. Returns the step of that checkpoint; 0: every save was over by then.
int64_t kill_in_a_save(const fs::path& output, int64_t steps) {
  const fs::path checkpoints = output / "checkpoints";
  for (int64_t whole = last_whole(output, steps); whole < steps; whole = last_whole(output, steps)) {
    const std::set<std::string> before = names_in(checkpoints);
    const auto is_saving = [&] {
      for (const std::string& name : names_in(checkpoints))
        if (!name.starts_with("step-") && !before.contains(name) && !names_in(checkpoints / name).empty()) return true;
      return false;
    };
    ChildRun run(output, steps - whole, true);
    wait_until(run, is_saving);
    if (run.kill() && is_saving() && !is_whole(output, whole + 1)) return whole + 1;
  }
  return 0;
}

// One run with both kills, to be gone on with.
struct Kills {
  int64_t step = 0, save = 0;  // the steps in which, and in whose save
};

// Runs that were done before a kill came are done again, with kills that come earlier.
Kills run_with_kills(const fs::path& output, int64_t steps, double step_s) {
  constexpr int kMostTries = 20;
  Kills kills;
  double delay_s = 0.5 * step_s;
  for (int i = 0; i < kMostTries; ++i) {
    fs::remove_all(output);
    kills.step = kill_in_a_step(output, steps, delay_s);
    if (kills.step == 0) delay_s *= 0.5;
    if (kills.step == 0) continue;
    kills.save = kill_in_a_save(output, steps);
    if (kills.save != 0) return kills;
  }
  throw core::user_error(
      fmt::format("nothing is proved: {} runs of {} steps, and no kill (SIGKILL) has come in the midst of {}",
                  kMostTries, steps, kills.step == 0 ? "a step" : "a save"),
      "their steps are too short: try it with longer ones, by --set rollout.max_new_tokens=N or "
      "--set rollout.prompts_per_step=N");
}

}  // namespace

int verify_resume(const train::TrainOptions& options) {
  const int64_t steps = std::min<int64_t>(3, options.steps);
  if (steps < 2) throw core::user_error("steps is 1: there is nothing to resume", "give at least 2 steps");
  const fs::path base = fs::path(options.output + ".verify-resume");
  fs::remove_all(base);
  core::make_folders(base);
  const fs::path whole = base / "whole", resumed = base / "resumed";
  spdlog::info("{} steps in one go, in {}", steps, whole.string());
  ChildRun(whole, steps, false).wait();
  double step_s = 0;
  std::istringstream lines(core::read_file(whole / "metrics.jsonl", "metrics"));
  for (std::string line; std::getline(lines, line);) step_s = json::parse(line).value("time/step_s", 0.0);
  spdlog::info("the same with a kill in a step and one in a save, in {}", resumed.string());
  const Kills kills = run_with_kills(resumed, steps, step_s);
  ChildRun(resumed, steps - last_whole(resumed, steps), true).wait();
  const int64_t count = compare(whole, resumed, steps);
  std::printf(
      "%ld steps in one go, and %ld steps killed (SIGKILL) in step %ld and in the save of step %ld, and resumed: the "
      "same in all %ld files (weights, optimiser, state, rollouts, metrics and evaluations but for times)\n",
      static_cast<long>(steps), static_cast<long>(steps), static_cast<long>(kills.step), static_cast<long>(kills.save),
      static_cast<long>(count));
  fs::remove_all(base);
  return 0;
}

}  // namespace thinktune::cli
