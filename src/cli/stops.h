// How `train` ends before its time, in words: what failed, where, what was saved, the exact command to go on.
#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <string>

#include "thinktune/core/error.h"
#include "thinktune/train/errors.h"
#include "thinktune/train/trainer.h"

namespace thinktune::cli {

// How a call of `train` began: what a stop before its first phase tells.
struct Call {
  bool resumes = false;
  std::filesystem::path output = {};  // the run's folder; empty: not known yet
};

// "to go on: COMMAND" with this process's run, once it has begun; where a launcher has started it, of all ranks.
std::string to_go_on();

// What core::last_words() are until the run's first phase.
void prepare_last_words(const Call& call);

// The last words of a process that has started the ranks of the run, and knows no more of it than its folder. To be
// made before they are started.
std::function<std::string()> last_words_of_ranks(const Call& call);

// After an error before a run's first phase: nothing of this call was saved, and the same command begins again.
core::Error before_the_run(const core::Error& error, const Call& call, const std::filesystem::path& saved = {});

// A part of the set-up; whatever fails in it says how to begin again.
template <class F>
auto set_up(const Call& call, F f) {
  try {
    return f();
  } catch (const std::exception& exception) {
    throw before_the_run(train::to_error(exception), call);
  }
}

// Trainer::run; whatever fails in it says where it was, what was saved and how to go on.
train::TrainSummary run_to_its_end(train::Trainer& trainer, train::RunRequest request, const Call& call);

// Says the same of a run that a signal has ended; returns the exit code.
int end_by_signal(const train::TrainSummary& summary, int64_t num_steps);

}  // namespace thinktune::cli
