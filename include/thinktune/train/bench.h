// How long the parts of a training step take, beside what the matrix products alone would take on this machine at the
// same shapes, measured in the same run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/train/options.h"

namespace thinktune::train {

struct BenchOptions {
  int64_t steps = 3;        // that are measured
  int64_t warm_up = 1;      // steps before them
  bool ignore_eos = false;  // every answer takes rollout.max_new_tokens: equal work for whatever is compared
};

struct BenchPart {
  // "sample", "teacher", of which the engine's "…: prefill" and "…: decode", then "old log-probs", "update"
  std::string name;
  double seconds = 0;  // of all measured steps together
  int64_t tokens = 0;  // generated: sample, teacher, decode; else: that went through the model, prompts once
  // What the model's matrix products take for that work and nothing else: for every pass that was made, with its rows.
  double products_s = 0;
  double operations = 0;   // multiplications and additions in these products
  double rows_a_pass = 0;  // on average; 0 for a part whose passes are those of other parts
  int64_t peak_bytes = 0;  // resident memory of the process, the largest in it; 0: not known
};

struct BenchResult {
  std::vector<double> step_s;    // of each measured step
  std::vector<BenchPart> parts;  // a part that did nothing is left out
  int64_t num_rollouts = 0;      // of all measured steps
  int64_t response_tokens = 0;
  double ready_s = 0;                 // from the call to the first step: model read, prompts made
  double product_gflops = 0;          // of the update's products, in thousand millions of operations a second; 0: none
  int64_t peak_bytes = 0;             // resident memory of the process, the largest
  std::string device;                 // what computed, by name
  int64_t device_peak_bytes = 0;      // most that tensors took on a GPU in the measured steps; 0 on the CPU
  int64_t device_reserved_bytes = 0;  // most that LibTorch held for them, with what it keeps to give again
};

// Trains for some steps and throws the result away: nothing is written. Errors are those of training.
BenchResult run_bench(const TrainOptions& options, const BenchOptions& bench);

}  // namespace thinktune::train
