#include "thinktune/eval/benchmark.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "eval/benchmark_parts.h"
#include "eval/sample_file.h"
#include "eval/summary_file.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/progress.h"
#include "thinktune/eval/answers.h"
#include "thinktune/infer/within_memory.h"

namespace thinktune::eval {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

ordered_json to_json(const Estimate& estimate) {
  return {{"value", estimate.mean},
          {"standard_error", estimate.standard_error},
          {"low", estimate.interval.low},
          {"high", estimate.interval.high},
          {"interval", "95 %, " + estimate.method}};
}

// Two rounds of the slots: long enough to keep them busy, short enough to lose little when it is stopped.
int64_t problems_in_chunk(const Task& task, int64_t slots) {
  return std::max<int64_t>(1, (2 * slots + task.samples - 1) / task.samples);
}

void write_json(const fs::path& file, const ordered_json& json) {
  core::write_file_atomically(file, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

// The rows of a run, those of an earlier call among them.
class Rows {
 public:
  Rows(const fs::path& folder, const ordered_json& settings, const Suite& suite, const Task& task, int64_t num_problems,
       int64_t chunk_problems)
      : task_(task), measures_(task.measures()) {
    if (folder.empty()) return;
    fs::create_directories(folder);
    check_settings(folder, settings);
    file_ = std::make_unique<SampleFile>(folder / "samples.jsonl");
    SampleRows found = read_sample_rows(folder / "samples.jsonl", measures_);
    const int64_t whole_problems = std::ssize(found.rows) / task.samples;
    const int64_t kept =
        whole_problems >= num_problems ? num_problems : whole_problems / chunk_problems * chunk_problems;
    const auto num_rows = static_cast<size_t>(kept * task.samples);
    found.rows.resize(num_rows);
    file_->cut_to(num_rows > 0 ? found.ends[num_rows - 1] : 0);
    for (size_t r = 0; r < num_rows; ++r) {
      const data::Problem& problem = suite.problems[r / static_cast<size_t>(task.samples)];
      if (found.rows[r].id != problem.id || found.rows[r].sample != static_cast<int64_t>(r) % task.samples)
        throw core::data_error(
            fmt::format("{}:{}: sample {} of {} is expected here, this is sample {} of {}",
                        (folder / "samples.jsonl").string(), r + 1, static_cast<int64_t>(r) % task.samples, problem.id,
                        found.rows[r].sample, found.rows[r].id),
            "the file was changed: evaluate again in another folder");
      add(std::move(found.rows[r]));
    }
  }

  // What is measured is what was written, so that a run that goes on says the same as one that was never stopped.
  void add_chunk(const std::vector<ordered_json>& rows) {
    std::string lines;
    for (const ordered_json& row : rows) {
      const std::string line = dump_row(row);
      add(parse_sample_row(nlohmann::json::parse(line), measures_, "a new sample"));
      lines += line;
    }
    if (file_ != nullptr) file_->append(lines);
  }

  const std::vector<ProblemScore>& problems() const { return problems_; }
  double mean() const {
    double sum = 0;
    for (const ProblemScore& problem : problems_) sum += problem.mean();
    return problems_.empty() ? 0 : sum / static_cast<double>(problems_.size());
  }

 private:
  static void check_settings(const fs::path& folder, const ordered_json& settings) {
    const fs::path file = folder / "settings.json";
    if (!fs::exists(file)) {
      if (fs::exists(folder / "samples.jsonl"))
        throw core::user_error(
            fmt::format("{} has samples, but not the settings that they were drawn with", folder.string()),
            "choose another --out");
      write_json(file, settings);
      return;
    }
    const std::string difference = first_difference(read_object(file, "settings", "choose another --out"), settings);
    if (!difference.empty())
      throw core::user_error(fmt::format("{} holds an evaluation with other settings: {}", folder.string(), difference),
                             "choose another --out, or give the settings of the first call to go on with it");
  }

  void add(SampleRow row) {
    if (row.sample == 0) problems_.push_back({.id = std::move(row.id), .samples = {}});
    problems_.back().samples.push_back(std::move(row.score));
  }

  const Task& task_;
  std::vector<std::string> measures_;
  std::unique_ptr<SampleFile> file_;
  std::vector<ProblemScore> problems_;
};

void write_timing(const fs::path& folder, const BenchmarkResult& result, const infer::EngineStats& stats) {
  const ordered_json timing = {{"seconds", result.seconds},
                               {"problems", result.metrics.num_problems - result.num_resumed},
                               {"problems_of_an_earlier_call", result.num_resumed},
                               {"prompt_tokens", stats.prompt_tokens},
                               {"generated_tokens", stats.generated_tokens},
                               {"prefill_seconds", stats.prefill_s},
                               {"decode_seconds", stats.decode_s}};
  write_json(folder / "timing.json", timing);
}

}  // namespace

ordered_json to_json(const BenchmarkMetrics& m) {
  ordered_json json = {{"problems", m.num_problems}, {"samples", m.num_samples}};
  json["pass@1"] = to_json(m.pass_at_1);
  for (const auto& [name, estimate] : m.measures) json[name] = to_json(estimate);
  for (const auto& [k, value] : m.pass_at_k) json[fmt::format("pass@{}", k)] = value;
  for (const auto& [k, value] : m.majority_at_k) json[fmt::format("maj@{}", k)] = value;
  if (m.has_majority) json[fmt::format("maj@{}", m.num_samples)] = to_json(m.majority);
  json["mean_tokens"] = m.mean_tokens;
  json["ended_share"] = m.ended_share;
  json["truncated_share"] = m.truncated_share;
  json["unparsed_share"] = m.unparsed_share;
  json["too_long"] = m.num_too_long;
  return json;
}

BenchmarkResult run_benchmark(const Subject& subject, const Suite& suite, const ResolvedTask& resolved,
                              const BenchmarkOptions& options) {
  const Task& task = resolved.task;
  const core::Stopwatch watch;
  const int64_t all = std::ssize(suite.problems);
  const int64_t num_problems = options.limit > 0 ? std::min(options.limit, all) : all;
  const int64_t chunk = problems_in_chunk(task, options.slots);
  const std::vector<data::Example> examples = load_examples(task, options.data_dir);
  const ordered_json settings = settings_json(subject, suite, resolved, options, num_problems, chunk);
  Rows rows(options.folder, settings, suite, task, num_problems, chunk);
  BenchmarkResult result{.suite = suite.name, .resolved = resolved, .metrics = {}, .summary = {}};
  result.num_resumed = std::ssize(rows.problems());
  subject.engine.reset_stats();

  std::string title = fmt::format("{} ({})", suite.name, resolved.protocol);
  if (result.num_resumed > 0) title += fmt::format(", going on after {}", result.num_resumed);
  core::ProgressOptions line = options.progress;
  line.title = title;
  line.total = num_problems - result.num_resumed;
  core::ProgressLine progress(line);
  for (int64_t first = result.num_resumed; first < num_problems; first += chunk) {
    const auto count = static_cast<size_t>(std::min(chunk, num_problems - first));
    const std::span<const data::Problem> problems(suite.problems.data() + first, count);
    const std::string so_far = first > 0 ? fmt::format("pass@1 {:.1f} % so far", 100 * rows.mean()) : "";
    const auto tell = [&](const ChunkProgress& chunk_done) {
      std::string note = so_far;
      if (chunk_done.tokens > 0) note += fmt::format("{}{} tokens", note.empty() ? "" : ", ", chunk_done.tokens);
      const int64_t before = first - result.num_resumed;
      progress.update(before + chunk_done.samples / task.samples, note,
                      (static_cast<double>(before) + chunk_done.share * static_cast<double>(count)) /
                          static_cast<double>(line.total));
    };
    tell({});
    if (task.form == PromptForm::Score)
      rows.add_chunk(run_scoring_chunk(subject, resolved, problems, examples, tell));
    else
      rows.add_chunk(infer::within_memory(subject.engine, infer::warn_of_fewer, [&] {
        return run_generation_chunk(subject, resolved, problems, static_cast<uint64_t>(first), examples, options.seed,
                                    tell);
      }));
  }
  progress.finish();

  const Comparison comparison = task.decides == "lenient" ? task.compare_lenient : task.compare_strict;
  result.metrics = compute_metrics(rows.problems(), task.measures(), [&](size_t p, const auto& a, const auto& b) {
    return same_answer(comparison, suite.problems[p], a, b);
  });
  result.summary = settings;
  result.summary["metrics"] = to_json(result.metrics);
  result.seconds = watch.seconds();
  if (!options.folder.empty()) {
    write_json(options.folder / "summary.json", result.summary);
    write_timing(options.folder, result, subject.engine.stats());
  }
  return result;
}

}  // namespace thinktune::eval
