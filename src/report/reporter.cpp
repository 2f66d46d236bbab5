#include "thinktune/report/reporter.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "report/rows.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"

namespace thinktune::report {
namespace fs = std::filesystem;
namespace {

fs::path step_file(const fs::path& folder, int64_t step) { return folder / fmt::format("step-{}.jsonl", step); }

// N of "step-N.jsonl"; -1 for other names.
int64_t step_of(const std::string& name) {
  constexpr std::string_view kHead = "step-", kTail = ".jsonl";
  if (!name.starts_with(kHead) || !name.ends_with(kTail)) return -1;
  const char* begin = name.data() + kHead.size();
  const char* end = name.data() + name.size() - kTail.size();
  int64_t step = -1;
  const auto [stop, code] = std::from_chars(begin, end, step);
  return code == std::errc() && stop == end ? step : -1;
}

// Files of steps after `steps_done`, and temporary files that a crash left behind.
void remove_later_files(const fs::path& folder, int64_t steps_done) {
  std::vector<fs::path> later;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (step_of(name) > steps_done || (name.starts_with("step-") && name.find(".jsonl.tmp-") != std::string::npos))
      later.push_back(entry.path());
  }
  for (const fs::path& path : later) core::remove_tree(path);
}

void warn_not_finite(int64_t step, const std::vector<std::string>& names) {
  if (!names.empty()) spdlog::warn("step {}: not finite, written as null: {}", step, fmt::join(names, ", "));
}

void add_times(Metrics& metrics, const StepReport& report) {
  metrics.add("time/sample_s", report.seconds.sample);
  metrics.add("time/teacher_s", report.seconds.teacher);
  metrics.add("time/old_logprobs_s", report.seconds.old_logprobs);
  metrics.add("time/update_s", report.seconds.update);
  metrics.add("time/step_s", report.seconds.total);
  metrics.add("time/checkpoint_s", report.seconds.checkpoint);
  metrics.add("time/tokens_per_s", report.tokens_per_s);
}

}  // namespace

void describe(core::Fields& f, ReportOptions& o) {
  f.integer("console_every", o.console_every, core::at_least(int64_t{0}), "steps between console lines; 0: none");
  f.integer("rollouts_every", o.rollouts_every, core::at_least(int64_t{0}),
            "steps between rollout files (rollouts/step-N.jsonl), the first step included; 0: none");
  f.integer("max_rollout_groups", o.max_rollout_groups, core::at_least(int64_t{0}),
            "prompts in a rollout file, from the step's first; 0: all");
  f.boolean("tensorboard", o.tensorboard, "write curves for TensorBoard");
  f.integer("zero_reward_steps", o.zero_reward_steps, core::at_least(int64_t{0}),
            "steps in a row in which every reward is 0 before a warning; 0: never");
}

void validate(const ReportOptions& options) { core::check_ranges(options, "report"); }

Reporter::Reporter(fs::path folder, const ReportOptions& options, Decode decode, RunStart start, int64_t steps_done,
                   const RowCounts& flushed)
    : folder_(std::move(folder)),
      options_(options),
      decode_(std::move(decode)),
      steps_done_(steps_done),
      start_(start),
      zero_reward_(options.zero_reward_steps) {
  validate(options_);
  TT_CHECK(start == RunStart::Resumed || steps_done == 0, "a new run with {} steps done", steps_done);
  for (const fs::path& path : {folder_, folder_ / "rollouts", folder_ / "eval"}) core::make_folders(path);
  metrics_ = std::make_unique<JsonLines>(folder_ / "metrics.jsonl", flushed.metrics);
  evaluations_ = std::make_unique<JsonLines>(folder_ / "eval.jsonl", flushed.evaluations);
  if (start == RunStart::New && !(metrics_->empty() && evaluations_->empty()))
    throw core::user_error(fmt::format("{} holds the results of another run", folder_.string()),
                           "go on with that run by --resume, or choose another folder: --set output=…");
  metrics_->cut_from(steps_done + 1);
  evaluations_->cut_from(steps_done + 1);
  remove_later_files(folder_ / "rollouts", steps_done);
  remove_later_files(folder_ / "eval", steps_done);
  const int64_t num_kept = metrics_->empty() ? 0 : metrics_->last_step();
  if (num_kept < steps_done)
    spdlog::warn("{} ends at step {}, the run goes on after step {}", (folder_ / "metrics.jsonl").string(), num_kept,
                 steps_done);
  if (options_.tensorboard)
    events_ = std::make_unique<EventWriter>(folder_ / "tensorboard", start == RunStart::Resumed ? steps_done + 1 : 0);
}

Reporter::~Reporter() = default;

void Reporter::save_config(std::string_view json_text) {
  const fs::path path = folder_ / "config.json";
  if (start_ == RunStart::Resumed && fs::exists(path)) {
    const std::string old = core::read_file(path, "config");
    if (old == json_text) return;
    const fs::path kept = folder_ / fmt::format("config.before-step-{}.json", steps_done_ + 1);
    core::write_file_atomically(kept, old);
    spdlog::warn("the config differs from the one that this run had; the old one is kept as {}", kept.string());
  }
  core::write_file_atomically(path, json_text);
}

bool Reporter::rollouts_due(int64_t step) const {
  return options_.rollouts_every > 0 && (step == 1 || step % options_.rollouts_every == 0);
}

void Reporter::step(const StepReport& report, const std::vector<rollout::Group>& groups) {
  TT_CHECK(report.step > steps_done_, "step {} is reported after step {}", report.step, steps_done_);
  const RolloutStatistics statistics = summarise(groups);
  Metrics all;
  add_to(all, statistics);
  all.add(report.metrics);
  add_times(all, report);

  if (rollouts_due(report.step)) {
    core::AtomicFile file(step_file(folder_ / "rollouts", report.step));
    size_t num_groups = 0;
    for (const rollout::Group& group : groups) {
      if (options_.max_rollout_groups > 0 && num_groups++ == static_cast<size_t>(options_.max_rollout_groups)) break;
      for (size_t i = 0; i < group.rollouts.size(); ++i)
        file.write(
            to_line(rollout_row(report.step, group.prompt, group.rollouts[i], static_cast<int64_t>(i), decode_)));
    }
    file.commit();
  }

  // The metrics row comes last of the files: where it is, the step's report is whole.
  if (events_) events_->add(report.step, all);
  Row row;
  row["step"] = report.step;
  const std::vector<std::string> not_finite = add_metrics(row, all);
  row["time/utc"] = core::utc_time_stamp();
  metrics_->append(report.step, {row});
  steps_done_ = report.step;

  if (options_.console_every > 0 &&
      (report.step == 1 || report.step == report.num_steps || report.step % options_.console_every == 0))
    spdlog::info("{}", format_step_line(report, statistics));
  warn_not_finite(report.step, not_finite);
  if (const std::string warning = zero_reward_.observe(report.step, statistics); !warning.empty())
    spdlog::warn("{}", warning);
}

void Reporter::evaluation(int64_t step, const std::vector<BenchmarkReport>& benchmarks) {
  evaluations_->cut_from(step);
  core::AtomicFile items(step_file(folder_ / "eval", step));
  std::vector<Row> rows;
  Metrics curves;
  std::vector<std::string> not_finite;
  for (const BenchmarkReport& benchmark : benchmarks) {
    for (const EvaluatedItem& item : benchmark.items) items.write(to_line(item_row(step, benchmark.name, item)));
    Row row;
    row["step"] = step;
    row["benchmark"] = benchmark.name;
    for (const std::string& name : add_metrics(row, benchmark.metrics))
      not_finite.push_back(benchmark.name + "/" + name);
    row["time/utc"] = core::utc_time_stamp();
    rows.push_back(std::move(row));
    for (const auto& [name, value] : benchmark.metrics.entries())
      curves.add(fmt::format("eval/{}/{}", benchmark.name, name), value);
  }
  items.commit();
  if (events_) events_->add(step, curves);
  evaluations_->append(step, rows);
  warn_not_finite(step, not_finite);
}

bool Reporter::has_evaluation(int64_t step) const { return evaluations_->has(step); }

RowCounts Reporter::row_counts() const { return {metrics_->num_rows(), evaluations_->num_rows()}; }

void Reporter::sync() {
  metrics_->sync();
  evaluations_->sync();
}

std::map<int64_t, double> read_evaluations(const fs::path& folder, std::string_view benchmark,
                                           const std::string& metric) {
  std::map<int64_t, double> values;
  const fs::path file = folder / "eval.jsonl";
  if (!fs::exists(file)) return values;
  const std::string content = core::read_file(file, "report");
  size_t begin = 0;
  for (size_t end; (end = content.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const nlohmann::json row = parse_row(std::string_view(content).substr(begin, end - begin));
    if (!row.is_null() && row.value("benchmark", nlohmann::json()) == benchmark && row.contains(metric) &&
        row[metric].is_number())
      values[core::json_integer(row["step"])] = row[metric].get<double>();
  }
  return values;
}

int64_t last_step_in(const fs::path& folder) {
  const fs::path file = folder / "metrics.jsonl";
  if (!fs::exists(file)) return 0;
  const std::string content = core::read_file(file, "report");
  const std::string_view whole = std::string_view(content).substr(0, content.rfind('\n') + 1);
  if (whole.empty()) return 0;
  const nlohmann::json row = parse_row(whole.substr(whole.rfind('\n', whole.size() - 2) + 1));
  return row.is_null() ? 0 : core::json_integer(row["step"]);
}

fs::path set_aside_results(const fs::path& folder) {
  const auto has_rows = [&](const char* name) { return fs::exists(folder / name) && fs::file_size(folder / name) > 0; };
  if (!has_rows("metrics.jsonl") && !has_rows("eval.jsonl")) return {};
  int64_t number = 1;
  const auto aside = [&] { return folder / fmt::format("set-aside-{}", number); };
  while (fs::exists(aside())) ++number;
  core::make_folder(aside());
  for (const char* name : {"tensorboard", "rollouts", "eval", "eval.jsonl", "metrics.jsonl"})  // the sign of a run last
    if (fs::exists(folder / name)) core::rename_and_sync(folder / name, aside() / name);
  core::sync_folder(folder);
  return aside();
}

std::string format_step_line(const StepReport& report, const RolloutStatistics& s) {
  std::string line = fmt::format("step {}/{}", report.step, report.num_steps);
  if (s.num_rollouts > 0) {
    line += s.num_unscored < s.num_rollouts ? fmt::format("  reward {:.3f}", s.reward_mean) : "  no reward";
    if (s.num_unscored > 0) line += fmt::format(" ({} not scored)", s.num_unscored);
    line += fmt::format("  guided {:.0f} %", 100 * s.guided_share);
    if (s.num_selected > 0) line += fmt::format(" (valid {:.0f} %)", 100 * s.valid_share);
    line += fmt::format("  length {:.0f}", s.length_mean);
    if (s.num_guided > 0) line += fmt::format(" (guided {:.0f})", s.guided_length_mean);
  } else {
    line += "  no rollouts";
  }
  line += fmt::format("  {:.0f} tok/s", report.tokens_per_s);
  if (report.step < report.num_steps) line += fmt::format("  {} left", core::human_duration(report.left_s));
  const StepSeconds& t = report.seconds;
  return line + fmt::format("  [sample {:.1f} + teacher {:.1f} + old log-probs {:.1f} + update {:.1f} of {:.1f} s]",
                            t.sample, t.teacher, t.old_logprobs, t.update, t.total);
}

}  // namespace thinktune::report
