// All that a run leaves behind for people: metrics, curves, rollouts, evaluations, the console line. (The log file is
// core/log.h's, the weights are the checkpoint room's.)
//
//   config.json            the resolved config
//   metrics.jsonl          one row a step, keys in a fixed order
//   tensorboard/           the same numbers as curves
//   rollouts/step-N.jsonl  one row a rollout, every few steps
//   eval.jsonl             one row a benchmark and evaluation
//   eval/step-N.jsonl      one row an item
//
// Steps are counted from 1: step N is the one after which N updates are done; an evaluation at step 0 is of the initial
// model. A run that is resumed after N steps drops what it had written of later ones; its files then equal those of a
// run that was never interrupted, but for keys that begin with "time/" and but for TensorBoard's files. Text from a
// model may be any bytes; those that are not UTF-8 are written as U+FFFD.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/core/options.h"
#include "thinktune/report/event_writer.h"
#include "thinktune/report/metrics.h"
#include "thinktune/report/rollout_statistics.h"
#include "thinktune/report/zero_reward.h"
#include "thinktune/rollout/types.h"

namespace thinktune::report {

struct ReportOptions {
  int64_t console_every = 1;       // steps between console lines; 0: none
  int64_t rollouts_every = 10;     // steps between rollout files; 0: none. The first step is always written
  int64_t max_rollout_groups = 0;  // groups in a rollout file, from the step's first; 0: all
  bool tensorboard = true;
  int64_t zero_reward_steps = 10;  // steps in a row without any reward before a warning; 0: never
};
void describe(core::Fields& fields, ReportOptions& options);
void validate(const ReportOptions& options);

// Text of some token ids. May return any bytes.
using Decode = std::function<std::string(std::span<const rollout::TokenId>)>;

struct StepSeconds {
  double sample = 0;
  double teacher = 0;
  double old_logprobs = 0;
  double update = 0;
  double total = 0;       // of the whole step, what is not named above included
  double checkpoint = 0;  // not in total: how long saving has held the run up since the step before
};

struct StepReport {
  int64_t step = 0;  // 1 … num_steps
  int64_t num_steps = 0;
  StepSeconds seconds;
  double tokens_per_s = 0;  // response tokens of the step by its total time
  double left_s = 0;        // estimate for the rest of the run
  Metrics
      metrics;  // what the trainer knows: loss/…, optim/…, data/…. Names of add_to() (rollout_statistics.h) are taken
};

// One answer of an evaluation.
struct EvaluatedItem {
  std::string id;
  std::string problem;
  std::string gold;
  int64_t sample = 0;  // number of the response to this problem
  std::string text;
  int64_t num_tokens = 0;
  rollout::Finish finish = rollout::Finish::EndOfTurn;
  rollout::Judgement judgement;
};

struct BenchmarkReport {
  std::string name;
  Metrics metrics;  // accuracy, interval, …; what depends on the clock as "time/…"
  std::vector<EvaluatedItem> items;
};

enum class RunStart { New, Resumed };

// Rows of metrics.jsonl and eval.jsonl.
struct RowCounts {
  int64_t metrics = std::numeric_limits<int64_t>::max();
  int64_t evaluations = std::numeric_limits<int64_t>::max();
};

class JsonLines;

// One object a run and a run folder; one thread.
class Reporter {
 public:
  // Makes the folder, in which nobody else may write. New: throws Error{User} if it holds a run's metrics already.
  // Resumed: drops what was written of steps after `steps_done`, and what a crash left unfinished behind the first
  // `flushed` rows; throws Error{Data} for a damaged line among these. Throws Error{User} if it cannot be written.
  Reporter(std::filesystem::path folder, const ReportOptions& options, Decode decode, RunStart start,
           int64_t steps_done = 0, const RowCounts& flushed = {});
  ~Reporter();

  // config.json. If a resumed run's differs from what is there, the old one is kept as config.before-step-<next
  // step>.json.
  void save_config(std::string_view json_text);

  // The end of a step: metrics row, curves, console line, warnings, and the rollout file if it is due. Steps must rise.
  // Values that are not finite are written as null, with a warning. Throws Error{User} if the disk is full; a row is
  // there whole or not at all.
  void step(const StepReport& report, const std::vector<rollout::Group>& groups);

  // All benchmarks of one step; replaces an earlier evaluation of the same step. Steps must not fall.
  void evaluation(int64_t step, const std::vector<BenchmarkReport>& benchmarks);

  // Whether that step was evaluated, before a resume included.
  bool has_evaluation(int64_t step) const;

  // Flushes all rows to the disk: call it before a checkpoint is declared complete, so that a checkpoint never knows
  // more steps than the files.
  void sync();

  RowCounts row_counts() const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  bool rollouts_due(int64_t step) const;

  std::filesystem::path folder_;
  ReportOptions options_;
  Decode decode_;
  int64_t steps_done_;
  RunStart start_;
  std::unique_ptr<JsonLines> metrics_;
  std::unique_ptr<JsonLines> evaluations_;
  std::unique_ptr<EventWriter> events_;
  ZeroRewardWatcher zero_reward_;
};

// The metric of every evaluation on `benchmark` in a run's folder, by steps done; rows that cannot be read, and a
// last one that is not finished, are left out. Throws Error if the file is there and cannot be read.
std::map<int64_t, double> read_evaluations(const std::filesystem::path& folder, std::string_view benchmark,
                                           const std::string& metric);

// The step of the last whole row of a run's metrics; 0 if there is none.
int64_t last_step_in(const std::filesystem::path& folder);

// Moves what a run has written into its folder, all of the above but its config, to <folder>/set-aside-N, and returns
// that; empty if there are no rows.
std::filesystem::path set_aside_results(const std::filesystem::path& folder);

// "step 12/200  reward 0.453  guided 12 % (valid 85 %)  length 210 (guided 260)  3120 tok/s  1 h 05 min left
//  [sample 3.1 + teacher 0.8 + old log-probs 0.4 + update 5.0 of 9.6 s]", in one line.
std::string format_step_line(const StepReport& report, const RolloutStatistics& statistics);

}  // namespace thinktune::report
