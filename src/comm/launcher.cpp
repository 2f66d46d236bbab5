#include "thinktune/comm/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thinktune/comm/environment.h"
#include "thinktune/core/error.h"

extern char** environ;

namespace thinktune::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kLaunched = "THINKTUNE_LAUNCHED";
constexpr const char* kOwnVariables[] = {"RANK",        "WORLD_SIZE",  "LOCAL_RANK",         "LOCAL_WORLD_SIZE",
                                         "MASTER_ADDR", "MASTER_PORT", "THINKTUNE_STORE_FD", kLaunched};
constexpr int kPassedOn[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
constexpr std::chrono::seconds kPatience{10};
constexpr int kNotStarted = 127;  // exit code of a rank whose program could not be started

core::Error cannot(const char* what) {
  return core::device_error(fmt::format("cannot {} for the ranks: {}", what, std::strerror(errno)));
}

// A port of the loopback that is ours from now on, and goes to rank 0.
class Port {
 public:
  Port() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0 || ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd_, SOMAXCONN) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw cannot("open a port");
    number_ = ntohs(address.sin_port);
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { ::close(fd_); }

  int fd() const { return fd_; }
  int number() const { return number_; }

 private:
  int fd_ = -1, number_ = 0;
};

struct Rank {
  pid_t pid = -1;
  int errors = -1;         // our end of its standard error
  std::string line, held;  // an unfinished line; all from "error: " on
  bool ended = false;
  int signal = 0;  // that killed it
  int code = 0;    // exit code, 128 + N for signal N
};

bool is_crash(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT || signal == SIGILL || signal == SIGFPE;
}

const char* hint_of_death(int signal) {
  if (is_crash(signal)) return "  this is a bug in thinktune: please report it with the command that led here\n";
  return signal == SIGKILL ? "  where nobody did it, the kernel has: memory was used up (dmesg, or the job's log)\n"
                           : "";
}

// Of the exit codes that a run has, that which says how this rank failed.
int exit_code_of(const Rank& rank) {
  if (rank.signal != 0)
    return core::exit_code(is_crash(rank.signal) ? core::ErrorKind::Internal : core::ErrorKind::Device);
  const bool is_known = rank.code >= core::exit_code(core::ErrorKind::User) && rank.code != kNotStarted;
  return is_known ? rank.code : core::exit_code(core::ErrorKind::Device);
}

std::vector<std::string> own_command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  if (words.empty()) throw core::device_error("cannot read /proc/self/cmdline, which the ranks are started by");
  return words;
}

std::vector<std::string> environment_of(int64_t rank, int64_t num_ranks, const Port& port) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    bool own = false;
    for (const char* name : kOwnVariables) own |= std::string_view(*entry).starts_with(std::string(name) + "=");
    if (!own) variables.push_back(*entry);
  }
  for (const char* name : {"RANK", "LOCAL_RANK"}) variables.push_back(fmt::format("{}={}", name, rank));
  for (const char* name : {"WORLD_SIZE", "LOCAL_WORLD_SIZE"})
    variables.push_back(fmt::format("{}={}", name, num_ranks));
  variables.push_back("MASTER_ADDR=127.0.0.1");
  variables.push_back(fmt::format("MASTER_PORT={}", port.number()));
  variables.push_back(fmt::format("{}=1", kLaunched));
  if (rank == 0) variables.push_back(fmt::format("THINKTUNE_STORE_FD={}", port.fd()));
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// In a process group of its own: an interrupt from the terminal comes once, through us.
Rank start(int64_t rank, int64_t num_ranks, const Port& port, const sigset_t& mask) {
  std::vector<std::string> words = own_command_line(), variables = environment_of(rank, num_ranks, port);
  const std::vector<char*> argv = pointers(words), envp = pointers(variables);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw cannot("open a pipe");
  const pid_t parent = ::getpid(), child = ::fork();
  if (child < 0) throw cannot("start a process");
  if (child == 0) {
    const bool ready = ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent && ::setpgid(0, 0) == 0 &&
                       ::sigprocmask(SIG_SETMASK, &mask, nullptr) == 0 && ::dup2(pipe[1], STDERR_FILENO) >= 0 &&
                       (rank == 0 ? ::fcntl(port.fd(), F_SETFD, 0) >= 0 : ::dup2(pipe[1], STDOUT_FILENO) >= 0);
    if (ready) ::execve("/proc/self/exe", argv.data(), envp.data());
    ::_exit(kNotStarted);
  }
  ::close(pipe[1]);
  return {.pid = child, .errors = pipe[0]};
}

// A blocked signal would be received all the same.
bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

class Ranks {
 public:
  explicit Ranks(int64_t num_ranks) {
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    for (const int signal : kPassedOn)
      if (signal != SIGHUP || !is_ignored(signal)) sigaddset(&handled, signal);  // ignored: under nohup
    ::sigprocmask(SIG_BLOCK, &handled, &mask_before_);
    signals_ = ::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) throw cannot("receive signals");
    const Port port;
    for (int64_t r = 0; r < num_ranks; ++r) ranks_.push_back(start(r, num_ranks, port, mask_before_));
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  ~Ranks() {
    send(SIGKILL);
    for (Rank& rank : ranks_) {
      if (!rank.ended) ::waitpid(rank.pid, nullptr, 0);
      if (rank.errors >= 0) ::close(rank.errors);
    }
    ::close(signals_);
    ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }

  int run(const std::function<std::string()>& last_words_of_run) {
    while (!all_ended()) {
      wait_for_news();
      relay();
      receive_signals();
      reap();
      if (deadline_ && Clock::now() > *deadline_) send(SIGKILL);
    }
    relay();
    return last_words(last_words_of_run);
  }

 private:
  bool all_ended() const {
    for (const Rank& rank : ranks_)
      if (!rank.ended) return false;
    return true;
  }

  void wait_for_news() {
    std::vector<pollfd> sources = {{signals_, POLLIN, 0}};
    for (const Rank& rank : ranks_)
      if (rank.errors >= 0) sources.push_back({rank.errors, POLLIN, 0});
    ::poll(sources.data(), sources.size(), deadline_ ? 200 : -1);
  }

  void relay() {
    for (size_t r = 0; r < ranks_.size(); ++r) {
      Rank& rank = ranks_[r];
      char buffer[1 << 14];
      for (pollfd source = {rank.errors, POLLIN, 0}; rank.errors >= 0 && ::poll(&source, 1, 0) > 0;) {
        const ssize_t count = ::read(rank.errors, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
          ::close(rank.errors);
          rank.errors = -1;
          if (!rank.line.empty()) show_line(r, std::exchange(rank.line, ""));
          break;
        }
        rank.line.append(buffer, static_cast<size_t>(count));
        for (size_t end; (end = rank.line.find('\n')) != std::string::npos;) {
          show_line(r, rank.line.substr(0, end));
          rank.line.erase(0, end + 1);
        }
      }
    }
  }

  void show_line(size_t r, const std::string& line) {
    Rank& rank = ranks_[r];
    if (!rank.held.empty() || line.starts_with("error: "))
      rank.held += line + "\n";
    else if (r == 0)
      std::fprintf(stderr, "%s\n", line.c_str());
    else
      std::fprintf(stderr, "[rank %zu] %s\n", r, line.c_str());
  }

  void receive_signals() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      const int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGCHLD) continue;
      send(signal);
      if (signal == SIGUSR1 || signal == SIGUSR2) continue;
      // After the first the ranks save what they have, after the second they end at once.
      if (signal_ != 0 && signal == SIGHUP) continue;  // the end of a terminal may be told several times
      if (signal_ != 0 && signal_ != SIGHUP && !deadline_) deadline_ = Clock::now() + kPatience;
      signal_ = signal;
    }
  }

  void reap() {
    for (size_t r = 0; r < ranks_.size(); ++r) {
      Rank& rank = ranks_[r];
      int status = 0;
      if (rank.ended || ::waitpid(rank.pid, &status, WNOHANG) != rank.pid) continue;
      rank.ended = true;
      rank.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      rank.code = rank.signal == 0 ? WEXITSTATUS(status) : 128 + rank.signal;
      if (rank.code == 0 || first_ >= 0) continue;
      first_ = static_cast<int64_t>(r);
      if (signal_ != 0) continue;  // they have been asked to end, and a second time would be to end at once
      send(SIGTERM);
      send(SIGCONT);  // a stopped one takes it only then
      if (!deadline_) deadline_ = Clock::now() + kPatience;
    }
  }

  void send(int signal) const {
    for (const Rank& rank : ranks_)
      if (!rank.ended) ::kill(rank.pid, signal);
  }

  // The errors of all ranks, once each; that of the first to fail at the end.
  int last_words(const std::function<std::string()>& of_run) const {
    if (first_ < 0) return 0;
    const Rank& first = ranks_[static_cast<size_t>(first_)];
    for (size_t r = 0; r < ranks_.size(); ++r)
      if (&ranks_[r] != &first && !ranks_[r].held.empty() && ranks_[r].held != first.held)
        std::fprintf(stderr, "[rank %zu] %s", r, ranks_[r].held.c_str());
    const auto more = [&] { return of_run ? of_run() : std::string(); };
    if (signal_ != 0) {
      std::fputs(first.held.c_str(), stderr);
      if (ranks_.front().signal != 0)  // before it could say anything itself
        std::fprintf(stderr, "stopped by signal %d (%s)\n%s", signal_, ::strsignal(signal_), more().c_str());
      return 128 + signal_;
    }
    if (!first.held.empty())
      std::fputs(first.held.c_str(), stderr);
    else if (first.signal != 0)
      std::fprintf(stderr, "error: rank %ld of %zu was killed by signal %d (%s)\n%s%s", static_cast<long>(first_),
                   ranks_.size(), first.signal, ::strsignal(first.signal), hint_of_death(first.signal), more().c_str());
    else
      std::fprintf(stderr, "error: rank %ld of %zu ended with exit code %d and said nothing\n%s",
                   static_cast<long>(first_), ranks_.size(), first.code, more().c_str());
    return exit_code_of(first);
  }

  sigset_t mask_before_{};
  int signals_ = -1;
  std::vector<Rank> ranks_;
  int64_t first_ = -1;  // the first rank that failed
  int signal_ = 0;      // an ending one that was passed on
  std::optional<Clock::time_point> deadline_;
};

}  // namespace

bool is_launched() { return process_variable(kLaunched).has_value(); }

int launch_local(int64_t num_ranks, const std::function<std::string()>& last_words) {
  TT_CHECK(num_ranks >= 1, "{} ranks", num_ranks);
  return Ranks(num_ranks).run(last_words);
}

}  // namespace thinktune::comm
