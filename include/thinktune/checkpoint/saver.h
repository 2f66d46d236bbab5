// Checkpoints written beside the training.
#pragma once

#include <atomic>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/core/clock.h"

namespace thinktune::checkpoint {

// Writes one checkpoint at a time on a thread of its own. Used by one thread.
class Saver {
 public:
  // The first save makes the folder, whose parent must be there; later ones throw Error{User} if it is gone.
  Saver(std::filesystem::path folder, const Retention& retention);
  // Waits; an error that nobody has asked for is logged.
  ~Saver();
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  // Waits for the save before, copies the tensors to the host, and returns; they may change then. What goes wrong while
  // it is written is thrown by the next call of any function here: as save() throws. Where there is no memory for the
  // copies that it makes, or no thread, it warns and does as save().
  void start(const RunState& state, const RunTensors& tensors, const Scores& scores);

  // The same without copies: returns when it is written.
  void save(const RunState& state, const RunTensors& tensors, const Scores& scores);

  bool is_busy() const { return busy_; }
  void check();  // throws what a save that has ended threw
  void wait();   // the same, when the one in work has ended

  // The newest one that is complete, of this object's; empty: none.
  std::filesystem::path newest();

  // For how long callers of start, save and wait were held up, in all.
  double held_up_s() const { return held_up_s_; }

 private:
  struct Snapshot;  // what start() writes from

  void finish();
  void check_folder();
  void write_beside(std::shared_ptr<Snapshot> snapshot, const Scores& scores, const core::Stopwatch& watch);
  void write(const RunState& state, const RunTensors& tensors, const Scores& scores, double held_up_s);

  std::filesystem::path folder_;
  Retention retention_;
  bool has_folder_ = false;
  std::thread thread_;
  std::atomic<bool> busy_{false};
  std::mutex mutex_;  // of the two below
  std::exception_ptr error_;
  std::filesystem::path newest_;
  double held_up_s_ = 0;
};

}  // namespace thinktune::checkpoint
