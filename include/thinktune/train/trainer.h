// A run from its options to its last checkpoint: set-up, steps, evaluations, checkpoints, resume. With several ranks
// every one has a trainer with the same options and calls the same functions; rank 0 alone reads and writes the run's
// folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/checkpoint/saver.h"
#include "thinktune/comm/communicator.h"
#include "thinktune/core/folder_lock.h"
#include "thinktune/eval/evaluator.h"
#include "thinktune/train/options.h"
#include "thinktune/train/run.h"

namespace thinktune::train {

struct Evaluation {
  int64_t step = 0;  // steps done
  double accuracy = 0;
  eval::Interval interval;
  double mean_length = 0;
  double seconds = 0;
};

struct RunRequest {
  bool resume = false;         // go on from the newest whole checkpoint of the output folder
  std::string from;            // with resume: another one, "12", "step-12" or a path
  bool allow_changed = false;  // with resume: although settings have changed that change the mathematics
  int64_t max_steps = 0;       // of this call; 0: to the end
  std::string way_on;          // of core::last_words() once a resume can go on with the run; empty: as it is
};

struct TrainSummary {
  std::vector<Evaluation> evaluations;  // of this call, in order
  int64_t steps_done = 0;
  double train_s = 0;                // steps of this call, evaluations and checkpoints left out
  std::filesystem::path checkpoint;  // the last one; empty: none was made
  int stop_signal = 0;               // that ended the call before its time; 0: none
  // What saving cost: how long training waited in all, and the mean step beside a save and without one (0: none was).
  double held_up_s = 0, step_beside_save_s = 0, step_alone_s = 0;
};

class Trainer {
 public:
  // Reads model and data and prepares everything; nothing is written yet. `config_json`: the resolved config, kept with
  // run and checkpoints. `teacher`: another teacher than the initial model, for guidance (null: the initial model).
  // `comm`: the ranks of the run (null: this process alone). Throws Error for whatever cannot be read or does not fit
  // together, other settings of another rank included.
  Trainer(TrainOptions options, std::string config_json, std::unique_ptr<guidance::Teacher> teacher = nullptr,
          std::unique_ptr<comm::Communicator> comm = nullptr);

  // Runs to the last step, or to the last of this call, and saves. A resume logs which checkpoints it passes over, and
  // which settings have changed; a run that ended before its first checkpoint begins anew; a checkpoint of another
  // run's folder is saved in this one first, and goes on here. SIGINT, SIGTERM and SIGHUP end the call early, with the
  // state of the last whole step saved; SIGUSR1 saves at the end of the step. Throws Error{User} if there is nothing to
  // resume, the checkpoints of a run are gone, the run is finished, settings have changed that may not, another process
  // is at work in the folder, or, without a resume or with one from another folder, it holds a run's results or
  // checkpoints already. To be called once.
  TrainSummary run(const RunRequest& request = {});

  const Run& parts() const { return run_; }
  StopPoints& stops() { return *run_.stops; }

  // After run() has thrown: where it was, and the newest whole checkpoint that this rank knows of (empty: none), or
  // what it knows in words. Wait for a save of this rank's that is under way.
  std::filesystem::path last_checkpoint();
  std::string what_was_saved();
  int64_t steps_done() const { return steps_done_; }

 private:
  struct Before;  // what a step moves before its first update

  std::optional<checkpoint::Found> find_checkpoint(const RunRequest& request);  // on every rank what rank 0 has found
  void start(const RunRequest& request);
  void take_folder(const RunRequest& request);  // on rank 0, as the next three
  void begin_anew();                            // a run that has no checkpoint yet
  void open_reporter(const std::optional<checkpoint::Found>& found);
  void set_aside_later() const;  // checkpoints of steps after those that are done
  void go_on_from(const checkpoint::Found& found, const RunRequest& request);  // its state
  bool is_in_its_place(const checkpoint::Found& found);  // among this run's, under its step's name
  void take_over(const checkpoint::Found& found);        // saves it there
  void check_changes(const checkpoint::Found& found, bool allow_changed) const;
  void restore(const checkpoint::Found& found);
  bool has_evaluation(int64_t steps_done);
  bool evaluation_is_due() const;
  bool take_step();  // false: it was given up
  void report_step(const StepRecord& record);
  void evaluate();
  bool is_best() const;
  checkpoint::RunState state_now(const report::RowCounts& rows) const;
  checkpoint::RunTensors tensors_for_save(bool beside, model::Weights& policy) const;
  void save(bool goes_on);
  void finish();

  Run run_;
  std::string config_json_;
  std::unique_ptr<core::FolderLock> lock_;  // these three on rank 0 only
  std::unique_ptr<report::Reporter> reporter_;
  std::unique_ptr<checkpoint::Saver> saver_;
  checkpoint::Scores scores_;
  int64_t steps_done_ = 0, saved_step_ = -1;        // of the last checkpoint; -1: none
  std::filesystem::path saving_, saved_before_it_;  // the last two that this call has begun; empty: none
  std::filesystem::path resumed_from_;
  TrainSummary summary_;
  int64_t steps_timed_ = 0, steps_beside_save_ = 0;
  double beside_save_s_ = 0, held_up_before_s_ = 0;
};

// Where a run is in its set-up, and what was saved: "set-up, before the first step; nothing was saved".
std::string before_first_step(const std::filesystem::path& checkpoint = {});

}  // namespace thinktune::train
