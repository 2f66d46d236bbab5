// A run from its options to its last checkpoint: set-up, steps, evaluations, checkpoints, resume. With several ranks
// every one has a trainer with the same options and calls the same functions; rank 0 alone reads and writes the run's
// folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/comm/communicator.h"
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

struct TrainSummary {
  std::vector<Evaluation> evaluations;  // of this call, in order
  int64_t steps_done = 0;
  double train_s = 0;                // steps of this call, evaluations and checkpoints left out
  std::filesystem::path checkpoint;  // the last one
};

class Trainer {
 public:
  // Reads model and data and prepares everything; nothing is written yet. `config_json`: the resolved config, kept with
  // run and checkpoints. `teacher`: another teacher than the initial model, for guidance (null: the initial model).
  // `comm`: the ranks of the run (null: this process alone). Throws Error for whatever cannot be read or does not fit
  // together, other settings of another rank included.
  Trainer(TrainOptions options, std::string config_json, std::unique_ptr<guidance::Teacher> teacher = nullptr,
          std::unique_ptr<comm::Communicator> comm = nullptr);

  // Runs to the last step, or for at most `max_steps` steps in this call (0: no limit; the state is saved then). With
  // `resume` goes on from the newest whole checkpoint of the output folder; what it passes over is logged. Throws
  // Error{User} if there is nothing to resume, the run is finished, or, without `resume`, the folder holds a run's
  // results or checkpoints already.
  TrainSummary run(bool resume, int64_t max_steps = 0);

  const Run& parts() const { return run_; }

 private:
  checkpoint::Found find_checkpoint();  // on every rank what rank 0 has found
  int64_t start(bool resume);           // steps done
  std::unique_ptr<report::Reporter> open_reporter(bool resume, int64_t steps_done);  // null but on rank 0
  void restore(const checkpoint::Found& found);
  void evaluate(report::Reporter* reporter, int64_t steps_done, TrainSummary& summary);
  std::filesystem::path save(int64_t steps_done);

  Run run_;
  std::string config_json_;
};

}  // namespace thinktune::train
