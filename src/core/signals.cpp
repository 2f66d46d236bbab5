#include "thinktune/core/signals.h"

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string_view>

#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"

namespace thinktune::core {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

std::atomic<int> stop{0};
std::atomic<bool> save{false}, watching{false};

WatchedSignals handle_by(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // no system call is to fail because of it
  sigemptyset(&action.sa_mask);
  WatchedSignals before{};
  static_assert(kSignals.size() == before.size());
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &before[i]);
    const bool is_under_nohup = kSignals[i] == SIGHUP && before[i].sa_handler == SIG_IGN;
    if (!is_under_nohup) ::sigaction(kSignals[i], &action, nullptr);
  }
  return before;
}

void put_back(const WatchedSignals& before) {
  for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
}

// From here on what may be called in a handler: atomics, writev, _exit.
[[noreturn]] void end(int signal, std::string_view why, std::string_view name = "") {
  const auto part = [](std::string_view text) { return iovec{const_cast<char*>(text.data()), text.size()}; };
  const iovec text[] = {part(why), part(name), part("\n"), part(last_words())};
  [[maybe_unused]] const ssize_t ignored = ::writev(STDERR_FILENO, text, std::size(text));
  ::_exit(128 + signal);
}

void note(int signal) {
  if (signal == SIGUSR1) {
    save = true;
    return;
  }
  int none = 0, end_of_terminal = SIGHUP;
  if (stop.compare_exchange_strong(none, signal) || signal == SIGHUP) return;
  if (!stop.compare_exchange_strong(end_of_terminal, signal)) end(signal, "\nsecond signal: ended at once");
}

void say_and_end(int signal) {
  if (signal == SIGUSR1) return note(signal);
  end(signal, "\nstopped by ", stop_name(signal));
}

void end_silently(int signal) {
  if (signal == SIGUSR1) return note(signal);
  ::_exit(128 + signal);
}

}  // namespace

EarlySignals::EarlySignals(bool says) {
  save = false;
  before_ = handle_by(says ? say_and_end : end_silently);
}
EarlySignals::~EarlySignals() { put_back(before_); }

SignalWatch::SignalWatch() {
  TT_CHECK(!watching.exchange(true), "signals are watched already");
  stop = 0;
  before_ = handle_by(note);
}

SignalWatch::~SignalWatch() {
  put_back(before_);
  stop = 0;
  save = false;
  watching = false;
}

const char* stop_name(int signal) noexcept {
  return signal == SIGINT ? "SIGINT" : signal == SIGHUP ? "SIGHUP" : "SIGTERM";
}

void ignore_broken_pipes() { std::signal(SIGPIPE, SIG_IGN); }

int stop_signal() { return stop; }
bool take_save_request() { return save.exchange(false); }

}  // namespace thinktune::core
