#include "thinktune/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "bytes.h"
#include "exchange.h"
#include "set_up.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/log.h"
#include "thinktune/infer/sample_groups.h"

namespace thinktune::checkpoint {

template <class Archive>
void serialize(Archive& archive, RunState& s) {
  archive(s.step, s.data_position, s.num_updates, s.guard, s.config);
}

}  // namespace thinktune::checkpoint

namespace thinktune::train {
namespace fs = std::filesystem;
namespace {

fs::path checkpoint_folder(const TrainOptions& options) { return fs::path(options.output) / "checkpoints"; }

bool is_due(int64_t steps_done, int64_t every) { return every > 0 && steps_done % every == 0; }

report::BenchmarkReport to_report(const eval::EvalResult& result) {
  report::BenchmarkReport benchmark;
  benchmark.name = "heldout";
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

// A later resume would take the newest checkpoint of the folder for this run's.
void refuse_old_checkpoints(const TrainOptions& options, const model::ModelConfig& config) {
  std::vector<std::string> skipped;
  if (checkpoint::find_newest(checkpoint_folder(options), config, skipped) || !skipped.empty())
    throw core::user_error(fmt::format("{} holds the checkpoints of another run", checkpoint_folder(options).string()),
                           "go on with that run by --resume, or choose another folder: --set output=…");
}

core::Error nothing_to_resume(const fs::path& folder, const std::vector<std::string>& skipped) {
  if (skipped.empty())
    return core::user_error(
        fmt::format("there is no whole checkpoint to resume from in {}", folder.string()),
        "start the run without --resume; in another output folder if this one holds results already");
  return core::user_error(
      fmt::format("there is no whole checkpoint to resume from in {}: {}", folder.string(), skipped.front()),
      "a run goes on only with the model that it was started with; if its checkpoints are damaged, start it again in "
      "another output folder");
}

void check_same_config(comm::Communicator& comm, const std::string& config_json) {
  const std::vector<std::string> all = comm.all_gather_bytes(config_json, "the settings");
  for (size_t r = 0; r < all.size(); ++r)
    if (all[r] != all[0])
      throw core::user_error(fmt::format("rank {} was started with other settings than rank 0", r),
                             "start all ranks with the same config and the same --set");
}

// What rank 0 says, on every rank.
bool first_says(comm::Communicator& comm, bool answer) {
  return comm.all_gather_bytes(answer ? "y" : "n", "a decision of rank 0").front() == "y";
}

// The weights that compute, on the host, of those that are divided: the master weights, rounded.
model::Weights gathered_weights(const Run& run, const std::vector<at::Tensor>& master) {
  size_t next = 0;
  return model::map_weights(run.policy->compute_weights(),
                            [&](const at::Tensor& weight) { return master[next++].detach().to(weight.scalar_type()); });
}

void warn_of_changes(const std::string& old_config, const std::string& new_config) {
  if (old_config != new_config)
    spdlog::warn(
        "the config has changed since the checkpoint was written; the run goes on with the new one (the old one is "
        "kept in the run's folder)");
}

}  // namespace

Trainer::Trainer(TrainOptions options, std::string config_json, std::unique_ptr<guidance::Teacher> teacher,
                 std::unique_ptr<comm::Communicator> comm)
    : config_json_(std::move(config_json)) {
  run_.options = std::move(options);
  run_.comm = std::move(comm);
  if (run_.comm != nullptr) check_same_config(*run_.comm, config_json_);
  set_up(run_, std::move(teacher));
}

checkpoint::Found Trainer::find_checkpoint() {
  const fs::path folder = checkpoint_folder(run_.options);
  std::string told;
  if (run_.comm->is_first()) {
    std::vector<std::string> skipped;
    const auto found = checkpoint::find_newest(folder, run_.config, skipped);
    for (const std::string& why : skipped) spdlog::warn("passed over: {}", why);
    if (!found) throw nothing_to_resume(folder, skipped);
    told = to_bytes(std::pair(found->path.string(), found->state));
  }
  const auto [path, state] = from_bytes<std::pair<std::string, checkpoint::RunState>>(
      run_.comm->all_gather_bytes(told, "the checkpoint's state").front());
  return checkpoint::Found{path, state};
}

int64_t Trainer::start(bool resume) {
  const TrainOptions& o = run_.options;
  if (!resume) {
    if (run_.comm->is_first()) refuse_old_checkpoints(o, run_.config);
    return 0;
  }
  const checkpoint::Found found = find_checkpoint();
  if (found.state.step >= o.steps)
    throw core::user_error(
        fmt::format("the run in {} is finished: {} of {} steps are done", o.output, found.state.step, o.steps),
        "to go on, give more steps: --set steps=N --resume");
  restore(found);
  spdlog::info("resumed from {} after step {}", found.path.string(), found.state.step);
  return found.state.step;
}

std::unique_ptr<report::Reporter> Trainer::open_reporter(bool resume, int64_t steps_done) {
  if (!run_.comm->is_first()) return nullptr;
  const TrainOptions& o = run_.options;
  auto reporter = std::make_unique<report::Reporter>(
      o.output, o.report,
      [this](std::span<const core::TokenId> ids) {
        return run_.vocabulary.tokenizer->decode({ids.begin(), ids.end()});
      },
      resume ? report::RunStart::Resumed : report::RunStart::New, steps_done);
  core::add_log_file(fs::path(o.output) / "log.txt");
  reporter->save_config(config_json_);
  return reporter;
}

TrainSummary Trainer::run(bool resume, int64_t max_steps) {
  const TrainOptions& o = run_.options;
  TrainSummary summary;
  summary.steps_done = start(resume);
  const std::unique_ptr<report::Reporter> reporter = open_reporter(resume, summary.steps_done);
  const bool evaluated = summary.steps_done > 0 || !o.eval.at_start ||
                         first_says(*run_.comm, reporter != nullptr && reporter->has_evaluation(0));
  if (!evaluated) evaluate(reporter.get(), 0, summary);

  const int64_t last = max_steps > 0 ? std::min(o.steps, summary.steps_done + max_steps) : o.steps;
  int64_t steps_timed = 0;
  while (summary.steps_done < last) {
    core::Stopwatch watch;
    StepRecord record = train_step(run_, summary.steps_done);
    record.seconds.total = watch.seconds();
    summary.train_s += record.seconds.total;
    ++summary.steps_done;
    ++steps_timed;
    if (reporter != nullptr)
      reporter->step(to_report(record, o, summary.steps_done, summary.train_s, steps_timed), record.groups);
    if (record.updates.largest_mismatch() > o.update.mismatch_warning)
      spdlog::warn("step {}: sampler and trainer differ by up to {:.3f} nats in a token's log-probability",
                   summary.steps_done, record.updates.largest_mismatch());
    if (run_.guide != nullptr && !run_.guide->needs_teacher(summary.steps_done) && run_.teacher_engine != nullptr) {
      run_.teacher_engine->release();  // the teacher has left for good
    }
    const bool ends = summary.steps_done == o.steps;
    if (ends || is_due(summary.steps_done, o.eval.every)) evaluate(reporter.get(), summary.steps_done, summary);
    if (ends || summary.steps_done == last || is_due(summary.steps_done, o.checkpoint.every)) {
      if (reporter != nullptr) reporter->sync();
      summary.checkpoint = save(summary.steps_done);
    }
  }
  run_.comm->barrier("the end of the run");  // no rank leaves before the last checkpoint is whole
  return summary;
}

void Trainer::restore(const checkpoint::Found& found) {
  const DataParallel& parallel = *run_.parallel;
  const bool whole = run_.comm->size() == 1 || run_.options.comm.shard == comm::Shard::None;
  checkpoint::RunTensors tensors = {.config = &run_.config, .vocabulary = &run_.vocabulary};
  tensors.master = whole ? parallel.parameters() : parallel.whole_like();
  tensors.first_moments = whole ? run_.optimiser->first_moments() : parallel.whole_like();
  tensors.second_moments = whole ? run_.optimiser->second_moments() : parallel.whole_like();
  if (run_.comm->is_first()) checkpoint::load_tensors(found.path, tensors);
  parallel.scatter(tensors.master, parallel.parameters(), "the checkpoint's weights");
  parallel.scatter(tensors.first_moments, run_.optimiser->first_moments(), "the checkpoint's first moments");
  parallel.scatter(tensors.second_moments, run_.optimiser->second_moments(), "the checkpoint's second moments");
  run_.optimiser->restore(found.state.num_updates);
  run_.parallel->publish_weights();
  run_.engine->weights_changed();
  run_.prompts->restore(found.state.data_position);
  if (run_.guide != nullptr && !found.state.guard.empty())
    run_.guide->set_guard_state(guidance::guard_state_from_json(found.state.guard));
  warn_of_changes(found.state.config, config_json_);
}

fs::path Trainer::save(int64_t steps_done) {
  const DataParallel& parallel = *run_.parallel;
  core::Stopwatch watch;
  checkpoint::RunTensors tensors = {
      .config = &run_.config,
      .vocabulary = &run_.vocabulary,
      .policy = &run_.policy->compute_weights(),
      .master = parallel.gather(parallel.parameters(), "the weights for a checkpoint"),
      .first_moments = parallel.gather(run_.optimiser->first_moments(), "the first moments for a checkpoint"),
      .second_moments = parallel.gather(run_.optimiser->second_moments(), "the second moments for a checkpoint")};
  if (!run_.comm->is_first()) return checkpoint::folder_of(checkpoint_folder(run_.options), steps_done);
  const model::Weights gathered = run_.sharded != nullptr ? gathered_weights(run_, tensors.master) : model::Weights{};
  if (run_.sharded != nullptr) tensors.policy = &gathered;
  const checkpoint::RunState state = {
      .step = steps_done,
      .data_position = run_.prompts->position(),
      .num_updates = run_.optimiser->num_updates(),
      .guard = run_.guide != nullptr ? guidance::to_json(run_.guide->guard_state()) : "",
      .config = config_json_};
  const fs::path path =
      checkpoint::save(checkpoint_folder(run_.options), state, tensors, run_.options.checkpoint.keep_last);
  spdlog::info("saved {} ({})", path.string(), core::human_duration(watch.seconds()));
  return path;
}

void Trainer::evaluate(report::Reporter* reporter, int64_t steps_done, TrainSummary& summary) {
  if (run_.heldout.empty()) return;
  const TrainOptions& o = run_.options;
  const core::RandomKey key = {.seed = static_cast<uint64_t>(o.seed),
                               .stream = core::Stream::Evaluation,
                               .step = static_cast<uint64_t>(steps_done)};
  core::Stopwatch watch;
  std::vector<rollout::Group> own = passes_through(run_.sharded.get(), [&] {
    return infer::sample_groups(
        *run_.engine, *run_.vocabulary.tokenizer, own_part(*run_.comm, run_.heldout), o.eval.samples,
        o.eval.max_new_tokens > 0 ? o.eval.max_new_tokens : o.rollout.max_new_tokens, o.eval.sampling, key,
        [&](const auto& rollouts) { reward::judge(rollouts, *run_.reward); });
  });
  eval::EvalResult result = eval::score_groups(gather_groups(*run_.comm, run_.heldout, std::move(own)));
  result.seconds = watch.seconds();
  if (reporter != nullptr) reporter->evaluation(steps_done, {to_report(result)});
  summary.evaluations.push_back({steps_done, result.accuracy, result.interval, result.mean_length, result.seconds});
  spdlog::info(
      "after step {}: accuracy {:.1f} % ({:.1f} – {:.1f}) on {} held-out problems, {:.1f} tokens a response, {:.0f} % "
      "ended by themselves",
      steps_done, 100 * result.accuracy, 100 * result.interval.low, 100 * result.interval.high, result.groups.size(),
      result.mean_length, 100 * result.ended_share);
}

}  // namespace thinktune::train
