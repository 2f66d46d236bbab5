// Signals as requests: stop (SIGINT, SIGTERM), save (SIGUSR1).
#pragma once

#include <signal.h>

#include <array>
#include <exception>

namespace thinktune::core {

// While there is nothing yet that is worth a wait: from construction on SIGINT and SIGTERM end the process at once with
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
  std::array<struct sigaction, 3> before_;
};

// From construction on the first SIGINT or SIGTERM is only noted. A second one ends the process at once with exit code
// 128 + N and last_words(): whoever writes files then must leave them whole at every moment. SIGUSR1 is noted. The
// destructor puts back what was there before. One object at a time.
class SignalWatch {
 public:
  SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch();

 private:
  std::array<struct sigaction, 3> before_;
};

// The first signal that asked for a stop since the SignalWatch was made; 0: none has, or nobody watches.
int stop_signal();

// Whether SIGUSR1 has come since the last call.
bool take_save_request();

// Thrown where work is given up because a stop was asked for.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped by a signal"; }
};

}  // namespace thinktune::core
