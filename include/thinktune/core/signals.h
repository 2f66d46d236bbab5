// Signals as requests: stop (SIGINT, SIGTERM, and SIGHUP, the end of the terminal, where it is not ignored as under
// nohup), save (SIGUSR1).
#pragma once

#include <signal.h>

#include <array>
#include <exception>

namespace thinktune::core {

using WatchedSignals = std::array<struct sigaction, 4>;

// While there is nothing yet that is worth a wait: from construction on a signal to stop ends the process at once with
// exit code 128 + N, after "stopped by …" and last_words() on the standard error (`says`: of several ranks one is
// enough). SIGUSR1 is noted, for the SignalWatch that is made meanwhile. The destructor puts back what was there
// before.
class EarlySignals {
 public:
  explicit EarlySignals(bool says = true);
  EarlySignals(const EarlySignals&) = delete;
  EarlySignals& operator=(const EarlySignals&) = delete;
  ~EarlySignals();

 private:
  WatchedSignals before_;
};

// From construction on the first signal to stop is only noted. A second one ends the process at once with exit code
// 128 + N and last_words(): whoever writes files then must leave them whole at every moment. SIGHUP counts for neither:
// when a terminal ends it may come several times, and with others. SIGUSR1 is noted. The destructor puts back what was
// there before. One object at a time.
class SignalWatch {
 public:
  SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch();

 private:
  WatchedSignals before_;
};

// The first signal that asked for a stop since the SignalWatch was made; 0: none has, or nobody watches.
int stop_signal();

// "SIGTERM". May be called in a handler.
const char* stop_name(int signal) noexcept;

// Whoever reads what this process prints may end before it does (`| tee` with a full disk): from here on writing there
// is an error, which printing does not mind, and no longer the process's end.
void ignore_broken_pipes();

// Whether SIGUSR1 has come since the last call.
bool take_save_request();

// Thrown where work is given up because a stop was asked for.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped by a signal"; }
};

}  // namespace thinktune::core
