// Runs the program itself, as a user would, on a tiny model.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/paths.h"
#include "support/tiny_model.h"

namespace thinktune::cli {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int exit_code = -1;  // 128 + signal for a process that was killed
  std::string out;
  std::string err;
};

struct RunOptions {
  fs::path folder;                    // working directory; empty: this process's
  rlim_t file_bytes = RLIM_INFINITY;  // largest file that it can write: a disk that becomes full
  std::string standard_output;        // a file instead of a pipe
  std::chrono::seconds time_limit{120};
};

// What both pipes hold until the other side closes them or the time is over.
inline bool drain(int out, int err, std::chrono::seconds limit, Outcome& outcome) {
  const auto end = std::chrono::steady_clock::now() + limit;
  pollfd pipes[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[2] = {&outcome.out, &outcome.err};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    if (::poll(pipes, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) throw std::runtime_error("poll failed");
    for (int i = 0; i < 2; ++i) {
      if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
      char buffer[1 << 14];
      const ssize_t count = ::read(pipes[i].fd, buffer, sizeof buffer);
      if (count > 0) texts[i]->append(buffer, static_cast<size_t>(count));
      if (count == 0) pipes[i].fd = -1;
    }
  }
  return true;
}

inline Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options = {}) {
  std::vector<std::string> words = {TT_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  // One thread: the tests of several rooms run side by side.
  std::vector<std::string> variables = {"OMP_NUM_THREADS=1", "NO_COLOR=1"};
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("THINKTUNE_LOG=")) variables.push_back(*entry);
  std::vector<char*> argv, envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& variable : variables) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);

  int out[2], err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    const rlimit limit = {options.file_bytes, options.file_bytes};
    const int file = options.standard_output.empty() ? out[1] : ::open(options.standard_output.c_str(), O_WRONLY);
    const bool ready = ::dup2(file, STDOUT_FILENO) >= 0 && ::dup2(err[1], STDERR_FILENO) >= 0 &&
                       (options.folder.empty() || ::chdir(options.folder.c_str()) == 0) &&
                       (options.file_bytes == RLIM_INFINITY || ::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    if (ready) ::execve(TT_BINARY, argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  Outcome outcome;
  if (!drain(out[0], err[0], options.time_limit, outcome)) {
    ::kill(child, SIGKILL);
    ADD_FAILURE() << "still running after " << options.time_limit.count() << " s: " << words[1];
  }
  ::close(out[0]);
  ::close(err[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

inline std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + file.string());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write_text(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

inline std::vector<json> read_rows(const fs::path& file) {
  std::vector<json> rows;
  std::istringstream lines(read_text(file));
  for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line));
  return rows;
}

// Every file below, with its content.
inline std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    files[fs::relative(entry.path(), folder).string()] = entry.is_regular_file() ? read_text(entry.path()) : "";
  return files;
}

// Exit codes of the program (thinktune --help).
constexpr int kUser = 2, kData = 3, kDevice = 4;

// The exit code and one message, in which all of `parts` stand; nothing of a parser's or a library's own words.
inline void expect_refused(const Outcome& outcome, const std::vector<std::string>& parts, int exit_code = kUser) {
  SCOPED_TRACE(outcome.err);
  EXPECT_EQ(outcome.exit_code, exit_code);
  EXPECT_EQ(outcome.out, "");
  const size_t message = outcome.err.find("error: ");
  ASSERT_NE(message, std::string::npos);
  EXPECT_EQ(outcome.err.find("error: ", message + 1), std::string::npos) << "more than one message";
  const std::string text = outcome.err.substr(message);
  for (const std::string& part : parts) EXPECT_THAT(text, HasSubstr(part));
  for (const char* foreign : {"json.exception", "LibTorch", "c10::", "std::", "filesystem error", "this is a bug"})
    EXPECT_THAT(text, Not(HasSubstr(foreign)));
}

// Sets variables for the programs that a test starts.
class Variables {
 public:
  explicit Variables(const std::map<std::string, std::string>& values) {
    for (const auto& [name, value] : values) {
      names_.push_back(name);
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~Variables() {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
  }

 private:
  std::vector<std::string> names_;
};

// A folder with a model, data, and a config of two steps.
class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_tiny_model(model_, 7);
    write_text(data_,
               "{\"id\": \"a\", \"problem\": \"1+1?\", \"answer\": \"2\", \"solution\": \"1+1=2. \\\\boxed{2}\"}\n"
               "{\"id\": \"b\", \"problem\": \"2+1?\", \"answer\": 3}\n"
               "{\"id\": \"c\", \"problem\": \"2+2?\", \"answer\": \"4\"}\n");
    write_config(json::object());
  }

  // The section `reward` with a command that runs `first`, then says `reward` of every response; both are of a shell.
  json reward_by_script(const std::string& first, const std::string& reward) const {
    const fs::path script = folder_.path() / "reward.sh";
    write_text(script, first + R"(
while read -r line; do
  id=${line#*'"id":'}
  echo "{\"id\": ${id%%,*}, \"reward\": )" +
                           reward + R"(}"
done
)");
    return {{"command", {{"weight", 1}, {"argv", {"/bin/sh", script.string()}}}}};
  }

  // The entropy bonus gives every token a gradient: a random model earns no reward, and would not learn without it.
  void write_config(const json& changes) {
    json config = {{"model", model_.string()},
                   {"output", output_.string()},
                   {"steps", 2},
                   {"data", {{"train_file", data_.string()}, {"heldout_file", data_.string()}}},
                   {"prompt", {{"suffix", ""}, {"max_prompt_tokens", 100}}},
                   {"rollout", {{"prompts_per_step", 2}, {"group_size", 2}, {"max_new_tokens", 8}}},
                   {"guidance", {{"max_teacher_prompt_tokens", 300}, {"max_reply_tokens", 16}}},
                   {"loss", {{"entropy_coefficient", 0.01}}},
                   {"optim", {{"lr", 1e-3}}},
                   {"update", {{"mini_batch_prompts", 2}}},
                   {"report", {{"rollouts_every", 1}}}};
    config.merge_patch(changes);
    write_text(config_, config.dump(2) + "\n");
  }

  Outcome train(const std::vector<std::string>& more = {}, const RunOptions& options = {}) const {
    std::vector<std::string> arguments = {"train", "--config", config_.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments, options);
  }

  // A refused run that has written nothing at all.
  void expect_refused_untouched(const std::vector<std::string>& parts, const std::vector<std::string>& more = {},
                                int exit_code = kUser) const {
    const auto before = snapshot(folder_.path());
    expect_refused(train(more), parts, exit_code);
    EXPECT_FALSE(fs::exists(output_)) << "the output folder was made";
    EXPECT_TRUE(snapshot(folder_.path()) == before) << "something was written";
  }

  // The same where the content of a file is to blame.
  void expect_bad_file(const std::vector<std::string>& parts, const std::vector<std::string>& more = {}) const {
    expect_refused_untouched(parts, more, kData);
  }

  void expect_success(const Outcome& outcome) const {
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, Not(HasSubstr("error: ")));
  }

  test::TempFolder folder_;
  fs::path model_ = folder_.path() / "model";
  fs::path data_ = folder_.path() / "train.jsonl";
  fs::path config_ = folder_.path() / "config.json";
  fs::path output_ = folder_.path() / "run";
};

}  // namespace thinktune::cli
