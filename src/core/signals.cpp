#include "thinktune/core/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "thinktune/core/error.h"

namespace thinktune::core {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGUSR1};

std::atomic<int> stop{0};
std::atomic<bool> save{false}, watching{false};
struct sigaction before[std::size(kSignals)];

// What may be called in a handler: atomics, write, _exit.
void note(int signal) {
  if (signal == SIGUSR1) {
    save = true;
    return;
  }
  int none = 0;
  if (stop.compare_exchange_strong(none, signal)) return;
  constexpr char kText[] = "\nsecond signal: ended at once; the last checkpoint is whole\n";
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, kText, sizeof kText - 1);
  ::_exit(128 + signal);
}

}  // namespace

SignalWatch::SignalWatch() {
  TT_CHECK(!watching.exchange(true), "signals are watched already");
  stop = 0;
  save = false;
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;  // no system call is to fail because of it
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &before[i]);
}

SignalWatch::~SignalWatch() {
  for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
  stop = 0;
  watching = false;
}

int stop_signal() { return stop; }
bool take_save_request() { return save.exchange(false); }

}  // namespace thinktune::core
