// A run from its options to its last checkpoint: set-up, steps, evaluations, checkpoints, resume.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "thinktune/checkpoint/checkpoint.h"
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
  // Throws Error for whatever cannot be read or does not fit together.
  Trainer(TrainOptions options, std::string config_json, std::unique_ptr<guidance::Teacher> teacher = nullptr);

  // Runs to the last step, or for at most `max_steps` steps in this call (0: no limit; the state is saved then). With
  // `resume` goes on from the newest whole checkpoint of the output folder; what it passes over is logged. Throws
  // Error{User} if there is nothing to resume, the run is finished, or, without `resume`, the folder holds a run's
  // results or checkpoints already.
  TrainSummary run(bool resume, int64_t max_steps = 0);

  const Run& parts() const { return run_; }

 private:
  void restore(const checkpoint::Found& found);
  void evaluate(report::Reporter& reporter, int64_t steps_done, TrainSummary& summary);
  std::filesystem::path save(int64_t steps_done);
  checkpoint::RunTensors tensors() const;

  Run run_;
  std::string config_json_;
};

}  // namespace thinktune::train
