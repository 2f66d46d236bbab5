#include "reward/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "thinktune/core/error.h"

extern char** environ;

namespace thinktune::reward {
namespace {

constexpr size_t kMaxLineBytes = 1 << 20;
constexpr size_t kMaxErrorBytes = 4096;
constexpr double kTermPatience_s = 1;

void close_and_forget(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// A pair of descriptors that no other child inherits, closed with the object unless they are taken.
struct Pair {
  int ours = -1, theirs = -1;
  ~Pair() {
    close_and_forget(ours);
    close_and_forget(theirs);
  }
};

core::Error cannot_start(const std::string& program, int code) {
  return core::user_error(fmt::format("cannot start the command of the reward, {}: {}", program, std::strerror(code)),
                          "reward.command.argv names the program and its arguments");
}

// Standard input is a socket: writing to a pipe whose reader has ended would raise SIGPIPE.
void open_channels(Pair& input, Pair& output, Pair& errors, const std::string& program) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) throw cannot_start(program, errno);
  input.ours = fds[0], input.theirs = fds[1];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw cannot_start(program, errno);
  output.ours = fds[0], output.theirs = fds[1];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw cannot_start(program, errno);
  errors.ours = fds[0], errors.theirs = fds[1];
  for (const int fd : {input.ours, output.ours, errors.ours}) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;

  SpawnSettings(int input, int output, int errors) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);  // what this process ignores, the child does not
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
};

std::string description_of(const siginfo_t& end) {
  if (end.si_code == CLD_EXITED) return fmt::format("exit code {}", end.si_status);
  const char* name = ::strsignal(end.si_status);
  return fmt::format("signal {} ({})", end.si_status, name == nullptr ? "unknown" : name);
}

}  // namespace

std::string find_program(const std::string& program) {
  const auto can_run = [](const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
  };
  if (program.find('/') != std::string::npos) return can_run(program) ? program : "";
  const char* folders = std::getenv("PATH");
  std::string_view rest = folders == nullptr ? "/usr/local/bin:/usr/bin:/bin" : folders;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    const std::string folder(rest.substr(0, colon));
    rest.remove_prefix(std::min(rest.size(), colon + 1));
    const std::string path = (folder.empty() ? "." : folder) + "/" + program;
    if (can_run(path)) return path;
  }
  return "";
}

ChildProcess::ChildProcess(const std::vector<std::string>& argv) {
  TT_CHECK(!argv.empty(), "a command without a program");
  const std::string path = find_program(argv.front());
  if (path.empty()) throw cannot_start(argv.front(), ENOENT);
  Pair input, output, errors;
  open_channels(input, output, errors, argv.front());
  // A descriptor that is 0, 1 or 2 itself would be overwritten before it is copied.
  for (int* fd : {&input.theirs, &output.theirs, &errors.theirs}) {
    const int moved = ::fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (moved < 0) throw cannot_start(argv.front(), errno);
    ::close(std::exchange(*fd, moved));
  }
  const SpawnSettings settings(input.theirs, output.theirs, errors.theirs);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const int code = ::posix_spawn(&pid_, path.c_str(), &settings.actions, &settings.attributes, words.data(), environ);
  if (code != 0) throw cannot_start(argv.front(), code);
  input_ = std::exchange(input.ours, -1);
  output_ = std::exchange(output.ours, -1);
  error_ = std::exchange(errors.ours, -1);
}

ChildProcess::~ChildProcess() {
  try {
    end(1);
  } catch (...) {  // out of memory: a destructor does not throw
  }
}

void ChildProcess::exchange(int wait_ms) {
  pollfd fds[3] = {{num_unwritten_bytes() > 0 ? input_ : -1, POLLOUT, 0}, {output_, POLLIN, 0}, {error_, POLLIN, 0}};
  if (::poll(fds, 3, wait_ms) <= 0) return;
  if (fds[0].revents != 0) write_some();
  if (fds[2].revents != 0) read_errors();
  if (fds[1].revents != 0) read_output();
}

void ChildProcess::write_some() {
  while (num_unwritten_bytes() > 0) {
    const ssize_t count =
        ::send(input_, unwritten_.data() + num_written_, num_unwritten_bytes(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      num_written_ += static_cast<size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    over_ = true;  // EPIPE: it has closed its standard input, or has ended
    unwritten_.clear();
    num_written_ = 0;
    return;
  }
  if (num_written_ == unwritten_.size() || num_written_ > kMaxLineBytes) {
    unwritten_.erase(0, num_written_);
    num_written_ = 0;
  }
}

void ChildProcess::read_output() {
  char buffer[1 << 16];
  const ssize_t count = ::read(output_, buffer, sizeof buffer);
  if (count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (count <= 0) {
    over_ = true;
    close_and_forget(output_);
    return;
  }
  read_.append(buffer, static_cast<size_t>(count));
}

void ChildProcess::read_errors() {
  char buffer[1 << 14];
  const ssize_t count = ::read(error_, buffer, sizeof buffer);
  if (count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (count <= 0) {
    close_and_forget(error_);
    return;
  }
  errors_.append(buffer, static_cast<size_t>(count));
  if (errors_.size() > kMaxErrorBytes) errors_.erase(0, errors_.size() - kMaxErrorBytes);
}

bool ChildProcess::take_line(std::string& line) {
  const size_t end = read_.find('\n', num_taken_ + num_searched_);
  if (end == std::string::npos) {
    num_searched_ = read_.size() - num_taken_;
    overlong_line_ = overlong_line_ || num_searched_ > kMaxLineBytes;
    read_.erase(0, num_taken_);
    num_taken_ = 0;
    return false;
  }
  if (end - num_taken_ > kMaxLineBytes) {
    overlong_line_ = true;
    return false;
  }
  line.assign(read_, num_taken_, end - num_taken_);
  num_taken_ = end + 1;
  num_searched_ = 0;
  return true;
}

// Its last words are read meanwhile, so that it does not stop at a full pipe.
bool ChildProcess::wait_for_end(double seconds) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (;;) {
    siginfo_t info{};
    const int result = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    if ((result == 0 && info.si_pid == pid_) || (result < 0 && errno == ECHILD)) return true;
    if (std::chrono::steady_clock::now() >= limit) return false;
    const bool was_open = output_ >= 0 || error_ >= 0;
    exchange(was_open ? 5 : 0);
    read_.clear();
    num_taken_ = num_searched_ = 0;
    if (!was_open) ::poll(nullptr, 0, 2);
  }
}

std::string ChildProcess::end(double patience_s) {
  if (pid_ < 0) return "";
  unwritten_.clear();
  num_written_ = 0;
  close_and_forget(input_);
  if (!wait_for_end(patience_s)) {
    ::kill(-pid_, SIGTERM);
    if (!wait_for_end(kTermPatience_s)) {
      ::kill(-pid_, SIGKILL);
      wait_for_end(60);  // only a process that hangs in the kernel takes longer
    }
  }
  // What it has started and left behind ends with it. The group's number is its own until it is reaped.
  ::kill(-pid_, SIGKILL);
  while (error_ >= 0) {
    const size_t before = errors_.size();
    exchange(0);
    if (errors_.size() == before) break;
  }
  siginfo_t info{};
  const int result = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG);
  pid_ = -1;
  close_and_forget(output_);
  close_and_forget(error_);
  over_ = true;
  return result == 0 && info.si_pid != 0 ? description_of(info) : "an unknown end";
}

}  // namespace thinktune::reward
