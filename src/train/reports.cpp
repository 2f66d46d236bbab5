#include "reports.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinktune::train {

report::StepReport to_report(const StepRecord& record, const TrainOptions& options, int64_t steps_done, double steps_s,
                             int64_t steps_timed) {
  report::StepReport step;
  step.step = steps_done;
  step.num_steps = options.steps;
  step.seconds = record.seconds;
  int64_t tokens = 0;
  for (const rollout::Group& group : record.groups)
    for (const rollout::Rollout& rollout : group.rollouts) tokens += std::ssize(rollout.ids);
  step.tokens_per_s = static_cast<double>(tokens) / std::max(1e-9, record.seconds.total);
  step.left_s = steps_s / static_cast<double>(steps_timed) * static_cast<double>(options.steps - steps_done);
  record.updates.add_to(step.metrics);
  if (options.guidance.enabled) {
    const guidance::GuidanceReport& g = record.guidance;
    step.metrics.add("teacher/on", g.teacher_on && !g.paused ? 1 : 0);
    step.metrics.add("teacher/scheduled_share", g.scheduled_share);
    step.metrics.add("teacher/eligible", static_cast<double>(g.num_eligible));
    step.metrics.add("teacher/asked", static_cast<double>(g.num_asked));
    step.metrics.add("teacher/replies_valid", static_cast<double>(g.num_replies_valid));
    step.metrics.add("teacher/groups_without_eligible", static_cast<double>(g.num_groups_without_eligible));
    step.metrics.add("teacher/cut", static_cast<double>(g.num_cut));
  }
  return step;
}

report::BenchmarkReport to_report(const eval::EvalResult& result) {
  report::BenchmarkReport benchmark;
  benchmark.name = kBenchmark;
  benchmark.metrics.add("accuracy", result.accuracy);
  benchmark.metrics.add("accuracy_low", result.interval.low);
  benchmark.metrics.add("accuracy_high", result.interval.high);
  benchmark.metrics.add("standard_error", result.metrics.pass_at_1.standard_error);
  for (const auto& [name, estimate] : result.metrics.measures) benchmark.metrics.add("accuracy_" + name, estimate.mean);
  for (const auto& [k, value] : result.metrics.pass_at_k) benchmark.metrics.add(fmt::format("pass_at_{}", k), value);
  for (const auto& [k, value] : result.metrics.majority_at_k) benchmark.metrics.add(fmt::format("maj_at_{}", k), value);
  if (result.metrics.has_majority)
    benchmark.metrics.add(fmt::format("maj_at_{}", result.metrics.num_samples), result.metrics.majority.mean);
  benchmark.metrics.add("num_problems", static_cast<double>(result.groups.size()));
  benchmark.metrics.add("num_samples", static_cast<double>(result.metrics.num_samples));
  benchmark.metrics.add("mean_length", result.mean_length);
  benchmark.metrics.add("ended_share", result.ended_share);
  benchmark.metrics.add("unparsed_share", result.unparsed_share);
  benchmark.metrics.add("time/seconds", result.seconds);
  for (const rollout::Group& group : result.groups)
    for (size_t sample = 0; sample < group.rollouts.size(); ++sample) {
      const rollout::Rollout& response = group.rollouts[sample];
      benchmark.items.push_back({.id = group.prompt.id,
                                 .problem = group.prompt.problem,
                                 .gold = group.prompt.gold,
                                 .sample = static_cast<int64_t>(sample),
                                 .text = response.text,
                                 .num_tokens = std::ssize(response.ids),
                                 .finish = response.finish,
                                 .judgement = response.judgement});
    }
  return benchmark;
}

}  // namespace thinktune::train
