// The state of a run beside its tensors: what state.json of a checkpoint holds.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace thinktune::checkpoint {

struct RunState {
  int64_t step = 0;            // steps done
  int64_t num_steps = 0;       // of the run: with `step` the place in every schedule
  uint64_t seed = 0;           // with `step` the position of every random stream
  uint64_t data_position = 0;  // problems handed out
  std::string data_checksum;   // of the problems in their order, as prompts
  // Of the initial model's tensors, and of the teacher's instructions and examples; empty: not in use, or the
  // checkpoint is older than these checksums.
  std::string initial_model_checksum, teacher_prompt_checksum;
  int64_t num_updates = 0;   // of the optimiser
  int64_t metrics_rows = 0;  // rows of metrics.jsonl, and of eval.jsonl, at this moment
  int64_t evaluation_rows = 0;
  std::string guard;                            // guidance's guard, as it writes itself; may be empty
  std::string config;                           // the resolved config, JSON
  std::map<std::string, std::string> versions;  // of program and LibTorch
};

}  // namespace thinktune::checkpoint
