// What a step and an evaluation leave in the run's metrics.
#pragma once

#include "thinktune/eval/evaluator.h"
#include "thinktune/report/reporter.h"
#include "thinktune/train/run.h"

namespace thinktune::train {

inline constexpr const char* kBenchmark = "heldout";  // the name of held-out problems in eval.jsonl

// `steps_s`: what `steps_timed` steps of this start took, by which the time that is left is judged.
report::StepReport to_report(const StepRecord& record, const TrainOptions& options, int64_t steps_done, double steps_s,
                             int64_t steps_timed);

report::BenchmarkReport to_report(const eval::EvalResult& result);

}  // namespace thinktune::train
