// Where a run is, and where it can be stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "thinktune/comm/communicator.h"

namespace thinktune::train {

// A step can be given up until its first update changes the weights: nothing but the data's position and the guard has
// moved by then. With several ranks all of them must give up together, which they can only where all of them pass: at
// the beginning of a phase. Phases: sampling, teacher, old log-probs, update, report, evaluation, saving.
class StopPoints {
 public:
  explicit StopPoints(comm::Communicator& comm) : comm_(comm) {}

  // Every rank calls both. A phase that cannot be given up begins without a look at the signals.
  void begin_step(int64_t step);
  // Throws core::Stopped, on all ranks, if one of them was asked to stop.
  void begin(const char* phase, bool can_be_given_up = true);

  // Within a phase that can be given up: the same for one rank; with several nothing.
  void poll();

  // From here on the step is finished whatever is asked.
  void commit() { can_be_given_up_ = false; }

  struct Asked {
    bool stop = false, save = false;
  };
  // What any rank was asked for since the run began (stop), or the last call (save). Every rank calls it.
  Asked asked();

  int signal() const { return signal_; }  // that asked any rank to stop, as far as the ranks have agreed; 0: none
  int64_t step() const { return step_; }  // 0: the first
  const std::string& phase() const { return phase_; }
  static constexpr const char* kSetUp = "set-up";  // phase() before the first

  // Called as each phase begins and by each poll, before anything else; for those who watch a run.
  std::function<void(int64_t step, const std::string& phase)> observer;

 private:
  int agree(int own, const char* what);

  comm::Communicator& comm_;
  int64_t step_ = 0;
  std::string phase_ = kSetUp;
  bool can_be_given_up_ = false;
  int signal_ = 0;
};

}  // namespace thinktune::train
