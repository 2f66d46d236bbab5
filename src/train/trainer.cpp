#include "thinktune/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cereal/types/map.hpp>
#include <tuple>
#include <utility>

#include "bytes.h"
#include "exchange.h"
#include "reports.h"
#include "run_folder.h"
#include "saved_tensors.h"
#include "set_up.h"
#include "stages.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"
#include "thinktune/core/log.h"
#include "thinktune/core/signals.h"
#include "thinktune/ops/device.h"
#include "thinktune/train/config_changes.h"
#include "thinktune/train/errors.h"

namespace thinktune::checkpoint {

template <class Archive>
void serialize(Archive& archive, RunState& s) {
  archive(s.step, s.num_steps, s.seed, s.data_position, s.data_checksum, s.initial_model_checksum,
          s.teacher_prompt_checksum, s.num_updates, s.metrics_rows, s.evaluation_rows, s.guard, s.config, s.versions);
}

}  // namespace thinktune::checkpoint

namespace thinktune::train {
namespace fs = std::filesystem;
namespace {

bool is_due(int64_t steps_done, int64_t every) { return every > 0 && steps_done % every == 0; }

void check_same_config(comm::Communicator& comm, const std::string& config_json) {
  const std::vector<std::string> all = comm.all_gather_bytes(config_json, "the settings");
  for (size_t r = 0; r < all.size(); ++r)
    if (all[r] != all[0])
      throw core::user_error(fmt::format("rank {} was started with other settings than rank 0", r),
                             "start all ranks with the same config and the same --set");
}

// What rank 0 does alone: an error of it is one of all ranks, which so end alike.
template <class F>
void first_does(comm::Communicator& comm, F f) {
  std::string failed;
  if (comm.is_first()) {
    try {
      f();
    } catch (const std::exception& exception) {
      const core::Error e = to_error(exception);
      failed = to_bytes(std::tuple(static_cast<int32_t>(e.kind()), e.message(), e.hint()));
    }
  }
  failed = comm.all_gather_bytes(failed, "what rank 0 does alone").front();
  if (failed.empty()) return;
  const auto [kind, message, hint] = from_bytes<std::tuple<int32_t, std::string, std::string>>(failed);
  throw core::Error(static_cast<core::ErrorKind>(kind), message, hint);
}

// What rank 0 says, on every rank.
template <class F>
bool first_says(comm::Communicator& comm, F f) {
  bool answer = false;
  first_does(comm, [&] { answer = f(); });
  return comm.all_gather_bytes(answer ? "y" : "n", "a decision of rank 0").front() == "y";
}

std::map<std::string, std::string> versions() {
  return {{"thinktune", THINKTUNE_VERSION}, {"LibTorch", THINKTUNE_TORCH_VERSION}};
}

// The name of best_metric in eval.jsonl.
std::string metric_name(const TrainOptions& options) {
  return options.checkpoint.best_metric == checkpoint::Metric::Accuracy
             ? "accuracy"
             : fmt::format("maj_at_{}", options.eval.samples);
}

// Sampling and the teacher go on with fewer sequences before it comes to this. Parts of a micro-batch would be sums in
// another order, so its size is the user's to lower.
core::Error out_of_memory(const Run& run) {
  const UpdateOptions& o = run.options.update;
  return core::device_error(
      fmt::format("{}: out of memory in the phase {}", run.comm->place(run.stops->step()), run.stops->phase()),
      fmt::format("lower update.micro_batch_tokens (here {}) or engine.kv_cache_mib{}; else a smaller model or more "
                  "memory is needed",
                  o.micro_batch_tokens, o.gradient_checkpointing ? "" : ", or set update.gradient_checkpointing"));
}

// What the other ranks know of it.
std::string what_first_saves(const TrainOptions& options) {
  return fmt::format("rank 0 writes the checkpoints: what is in {} is whole", checkpoint_folder(options).string());
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

std::optional<checkpoint::Found> Trainer::find_checkpoint(const RunRequest& request) {
  const fs::path folder = checkpoint_folder(run_.options);
  std::string told;
  first_does(*run_.comm, [&] {
    std::optional<checkpoint::Found> found;
    std::vector<std::string> skipped;
    if (!request.from.empty())
      found = checkpoint::find_named(folder, request.from, run_.config);
    else
      found = checkpoint::find_newest(folder, run_.config, skipped);
    for (const std::string& why : skipped) spdlog::warn("passed over: {}", why);
    if (!found && !(skipped.empty() && has_results(run_.options))) throw nothing_to_resume(folder, skipped);
    if (!found) refuse_lost_checkpoints(run_.options);
    if (found && !are_one(fs::canonical(found->path).parent_path(), folder)) {
      refuse_other_results(run_.options, found->path);
      found->state.metrics_rows = found->state.evaluation_rows = 0;  // of files that are not here
    }
    if (found) told = to_bytes(std::pair(found->path.string(), found->state));
  });
  told = run_.comm->all_gather_bytes(told, "the checkpoint's state").front();
  if (told.empty()) return std::nullopt;
  const auto [path, state] = from_bytes<std::pair<std::string, checkpoint::RunState>>(told);
  return checkpoint::Found{path, state};
}

void Trainer::check_changes(const checkpoint::Found& found, bool allow_changed) const {
  std::vector<std::string> refused;
  for (const ConfigChange& change : compare_configs(found.state.config, config_json_)) {
    if (change.changes_mathematics) refused.push_back(change.text());
    spdlog::warn("changed since the checkpoint: {}{}", change.text(),
                 change.changes_mathematics ? "; this changes the mathematics" : "");
  }
  if (found.state.data_checksum != run_.prompts->checksum())
    refused.push_back("the training problems, as prompts, are others than those of the checkpoint");
  for (const auto& [what, before, now] :
       {std::tuple("the initial model's weights", &found.state.initial_model_checksum, &run_.initial_model_checksum),
        std::tuple("the teacher's instructions and examples (guidance.prompt_file)",
                   &found.state.teacher_prompt_checksum, &run_.teacher_prompt_checksum)}) {
    if (now->empty() || *now == *before) continue;
    if (before->empty())
      spdlog::warn("cannot compare {} with those of the checkpoint, which has no checksum of them", what);
    else
      refused.push_back(fmt::format("{} are others than those of the checkpoint", what));
  }
  for (const auto& [name, version] : versions())
    if (const auto before = found.state.versions.find(name);
        before == found.state.versions.end() || before->second != version)
      spdlog::warn("changed since the checkpoint: the version of {}: {} → {} (last bits may differ)", name,
                   before == found.state.versions.end() ? "unknown" : before->second, version);
  if (refused.empty() || allow_changed) return;
  throw core::user_error(
      fmt::format("{} was written by a run with other settings:\n  {}", found.path.string(),
                  fmt::join(refused, "\n  ")),
      "go on with the settings of that run (config.json in its folder), or go on with the new ones all the same: "
      "--allow-changed");
}

void Trainer::start(const RunRequest& request) {
  first_does(*run_.comm, [&] { take_folder(request); });
  std::optional<checkpoint::Found> found;
  if (request.resume)
    found = find_checkpoint(request);
  else
    first_does(*run_.comm, [&] { refuse_old_checkpoints(run_.options, run_.config); });
  if (found)
    go_on_from(*found, request);
  else if (request.resume)
    first_does(*run_.comm, [&] { begin_anew(); });
  first_does(*run_.comm, [&] { open_reporter(found); });
}

void Trainer::take_folder(const RunRequest& request) {
  const TrainOptions& o = run_.options;
  const bool may_begin = !request.resume || fs::is_directory(request.from);
  if (!may_begin && !fs::is_directory(o.output)) return;
  core::make_folders(o.output);
  lock_ = std::make_unique<core::FolderLock>(o.output);
  check_checkpoint_folder(o);
}

void Trainer::begin_anew() {
  spdlog::warn("the run in {} ended before its first checkpoint; it begins anew", run_.options.output);
  if (const fs::path aside = report::set_aside_results(run_.options.output); !aside.empty())
    spdlog::warn("what it had written is in {}", aside.string());
}

bool Trainer::is_in_its_place(const checkpoint::Found& found) {
  const fs::path place = checkpoint::folder_of(checkpoint_folder(run_.options), found.state.step);
  return first_says(*run_.comm, [&] { return are_one(found.path, place); });
}

void Trainer::go_on_from(const checkpoint::Found& found, const RunRequest& request) {
  const TrainOptions& o = run_.options;
  steps_done_ = saved_step_ = found.state.step;
  resumed_from_ = found.path;
  core::set_saved("where: " + before_first_step(resumed_from_));
  check_changes(found, request.allow_changed);
  const bool in_place = is_in_its_place(found);
  if (steps_done_ >= o.steps && (run_.heldout.empty() || !in_place || has_evaluation(steps_done_)))
    throw core::user_error(
        fmt::format("the run {} is finished: {} of {} steps are done",
                    in_place ? "in " + o.output : "of " + found.path.string(), steps_done_, o.steps),
        fmt::format("to go on, give more steps: --set steps=N --resume{}", in_place ? "" : "=" + found.path.string()));
  restore(found);
  if (!request.from.empty()) first_does(*run_.comm, [&] { set_aside_later(); });
  if (!in_place) take_over(found);
  spdlog::info("resumed from {} after step {}", found.path.string(), steps_done_);
}

void Trainer::set_aside_later() const {
  for (const fs::path& aside : checkpoint::set_aside_later(checkpoint_folder(run_.options), steps_done_))
    spdlog::warn("a later checkpoint was set aside: {}; remove it when you do not need it", aside.string());
}

void Trainer::take_over(const checkpoint::Found& found) {
  const fs::path folder = checkpoint_folder(run_.options);
  model::Weights policy;  // of what is divided
  const checkpoint::RunTensors tensors = tensors_to_save(run_, /*beside=*/false, policy);
  first_does(*run_.comm, [&] {
    core::make_folder(folder);
    const checkpoint::RunState state = state_now({found.state.metrics_rows, found.state.evaluation_rows});
    spdlog::info("saved as {}", checkpoint::save(folder, state, tensors, {.keep_last = 0}).string());
  });
  resumed_from_ = checkpoint::folder_of(folder, steps_done_);
}

void Trainer::open_reporter(const std::optional<checkpoint::Found>& found) {
  const TrainOptions& o = run_.options;
  report::RowCounts flushed;
  if (found) flushed = {found->state.metrics_rows, found->state.evaluation_rows};
  reporter_ = std::make_unique<report::Reporter>(
      o.output, o.report,
      [this](std::span<const core::TokenId> ids) {
        return run_.vocabulary.tokenizer->decode({ids.begin(), ids.end()});
      },
      found ? report::RunStart::Resumed : report::RunStart::New, steps_done_, flushed);
  core::add_log_file(fs::path(o.output) / "log.txt");
  reporter_->save_config(config_json_);
  scores_ = report::read_evaluations(o.output, kBenchmark, metric_name(o));
  scores_.erase(0);  // of the initial model, which has no checkpoint
  saver_ = std::make_unique<checkpoint::Saver>(checkpoint_folder(o), o.checkpoint.retention);
}

bool Trainer::has_evaluation(int64_t steps_done) {
  return first_says(*run_.comm, [&] {
    return report::read_evaluations(run_.options.output, kBenchmark, "accuracy").contains(steps_done);
  });
}

bool Trainer::evaluation_is_due() const {
  const TrainOptions& o = run_.options;
  if (steps_done_ == 0) return o.eval.at_start;
  return steps_done_ == o.steps || is_due(steps_done_, o.eval.every);
}

// What a step moves before its first update: to be put back when it is given up.
struct Trainer::Before {
  explicit Before(const Run& run) : data_position(run.prompts->position()) {
    if (run.guide != nullptr) guard = run.guide->guard_state();
  }
  void put_back(Run& run) const {
    run.prompts->restore(data_position);
    if (run.guide != nullptr) run.guide->set_guard_state(guard);
  }

  uint64_t data_position;
  guidance::GuardState guard;
};

bool Trainer::take_step() {
  const Before before(run_);
  StepRecord record;
  const bool beside_save = saver_ != nullptr && saver_->is_busy();
  core::Stopwatch watch;
  try {
    record = train_step(run_, steps_done_);
  } catch (const core::Stopped&) {
    before.put_back(run_);
    return false;
  } catch (const std::exception& error) {
    if (ops::is_out_of_memory(error)) throw out_of_memory(run_);
    throw;
  }
  record.seconds.total = watch.seconds();
  summary_.train_s += record.seconds.total;
  ++steps_timed_;
  if (beside_save) {
    ++steps_beside_save_;
    beside_save_s_ += record.seconds.total;
  }
  ++steps_done_;
  run_.stops->begin("report", /*can_be_given_up=*/false);
  report_step(record);
  if (run_.guide != nullptr && !run_.guide->needs_teacher(steps_done_) && run_.teacher_engine != nullptr)
    run_.teacher_engine->release();  // the teacher has left for good
  return true;
}

void Trainer::report_step(const StepRecord& record) {
  if (reporter_ == nullptr) return;
  report::StepReport step = to_report(record, run_.options, steps_done_, summary_.train_s, steps_timed_);
  step.seconds.checkpoint = saver_->held_up_s() - std::exchange(held_up_before_s_, saver_->held_up_s());
  reporter_->step(step, record.groups);
  if (record.updates.largest_mismatch() > run_.options.update.mismatch_warning)
    spdlog::warn("step {}: sampler and trainer differ by up to {:.3f} nats in a token's log-probability", steps_done_,
                 record.updates.largest_mismatch());
}

TrainSummary Trainer::run(const RunRequest& request) {
  const TrainOptions& o = run_.options;
  start(request);
  const core::SignalWatch signals;
  core::set_saved(checkpoint::what_was_saved(resumed_from_));
  if (!request.way_on.empty()) core::set_way_on(request.way_on);
  const int64_t last = request.max_steps > 0 ? std::min(o.steps, steps_done_ + request.max_steps) : o.steps;
  bool goes_on = true;
  try {
    if (evaluation_is_due() && !has_evaluation(steps_done_)) evaluate();
    while (steps_done_ < last && goes_on) {
      if (saver_ != nullptr) saver_->check();
      if (!take_step()) break;
      if (evaluation_is_due()) evaluate();
      const StopPoints::Asked asked = run_.stops->asked();
      goes_on = steps_done_ < last && !asked.stop;
      if (!goes_on || asked.save || is_due(steps_done_, o.checkpoint.every) || is_best()) save(goes_on);
    }
  } catch (const core::Stopped&) {  // an evaluation was given up; it is made up for when the run goes on
  }
  if (steps_done_ > 0 && saved_step_ != steps_done_) save(/*goes_on=*/false);
  finish();
  return summary_;
}

void Trainer::finish() {
  if (saver_ != nullptr) {
    saver_->wait();
    summary_.held_up_s = saver_->held_up_s();
  }
  summary_.steps_done = steps_done_;
  if (saved_step_ >= 0) summary_.checkpoint = checkpoint::folder_of(checkpoint_folder(run_.options), saved_step_);
  summary_.stop_signal = run_.stops->signal();
  if (steps_beside_save_ > 0) summary_.step_beside_save_s = beside_save_s_ / static_cast<double>(steps_beside_save_);
  if (steps_timed_ > steps_beside_save_)
    summary_.step_alone_s =
        (summary_.train_s - beside_save_s_) / static_cast<double>(steps_timed_ - steps_beside_save_);
  run_.comm->barrier("the end of the run");  // no rank leaves before the last checkpoint is whole
}

fs::path Trainer::last_checkpoint() {
  if (saver_ == nullptr) {  // rank 0 writes; it was done with the one before when it began the last
    std::error_code ignored;
    for (const fs::path& path : {saving_, saved_before_it_})
      if (!path.empty() && fs::exists(path, ignored)) return path;
    return saving_.empty() ? resumed_from_ : fs::path();
  }
  try {
    saver_->wait();
  } catch (const std::exception& error) {
    spdlog::error("a checkpoint was not saved: {}", error.what());
  }
  return saver_->newest().empty() ? resumed_from_ : saver_->newest();
}

std::string Trainer::what_was_saved() {
  const fs::path checkpoint = last_checkpoint();
  const bool only_first_knows = saver_ == nullptr && checkpoint.empty() && !saving_.empty();
  return only_first_knows ? what_first_saves(run_.options) : checkpoint::what_was_saved(checkpoint);
}

std::string before_first_step(const fs::path& checkpoint) {
  return fmt::format("{}, before the first step; {}", StopPoints::kSetUp,
                     checkpoint.empty() ? "nothing was saved" : checkpoint::what_was_saved(checkpoint));
}

void Trainer::restore(const checkpoint::Found& found) {
  restore_tensors(run_, found.path);
  run_.optimiser->restore(found.state.num_updates);
  run_.parallel->publish_weights();
  run_.engine->weights_changed();
  run_.prompts->restore(found.state.data_position);
  if (run_.guide != nullptr && !found.state.guard.empty())
    run_.guide->set_guard_state(guidance::guard_state_from_json(found.state.guard));
}

bool Trainer::is_best() const {
  if (run_.options.checkpoint.retention.keep_best == 0) return false;
  return first_says(*run_.comm, [&] {
    return checkpoint::is_among_best(scores_, steps_done_, run_.options.checkpoint.retention.keep_best);
  });
}

checkpoint::RunState Trainer::state_now(const report::RowCounts& rows) const {
  return {.step = steps_done_,
          .num_steps = run_.options.steps,
          .seed = static_cast<uint64_t>(run_.options.seed),
          .data_position = run_.prompts->position(),
          .data_checksum = run_.prompts->checksum(),
          .initial_model_checksum = run_.initial_model_checksum,
          .teacher_prompt_checksum = run_.teacher_prompt_checksum,
          .num_updates = run_.optimiser->num_updates(),
          .metrics_rows = rows.metrics,
          .evaluation_rows = rows.evaluations,
          .guard = run_.guide != nullptr ? guidance::to_json(run_.guide->guard_state()) : "",
          .config = config_json_,
          .versions = versions()};
}

checkpoint::RunTensors Trainer::tensors_for_save(bool beside, model::Weights& policy) const {
  try {
    return tensors_to_save(run_, beside, policy);
  } catch (const std::exception& error) {
    if (!beside || !ops::is_out_of_memory(error)) throw;
    throw core::device_error(fmt::format("{}: out of memory for the copy that a checkpoint is written from",
                                         run_.comm->place(run_.stops->step())),
                             "set checkpoint.background=false: training then waits for saves, without a copy");
  }
}

void Trainer::save(bool goes_on) {
  run_.stops->begin("saving", /*can_be_given_up=*/false);
  const ops::ProfilerRange range("checkpoint");
  const bool beside = goes_on && run_.options.checkpoint.background;
  model::Weights policy;  // of what is divided
  const checkpoint::RunTensors tensors = tensors_for_save(beside, policy);
  saved_step_ = steps_done_;
  saved_before_it_ = std::exchange(saving_, checkpoint::folder_of(checkpoint_folder(run_.options), saved_step_));
  if (saver_ == nullptr) {
    core::set_saved(what_first_saves(run_.options));
    return;
  }
  reporter_->sync();
  const checkpoint::RunState state = state_now(reporter_->row_counts());
  if (beside)
    saver_->start(state, tensors, scores_);
  else
    saver_->save(state, tensors, scores_);
}

void Trainer::evaluate() {
  if (run_.heldout.empty()) return;
  run_.stops->begin("evaluation");
  const ops::ProfilerRange range("evaluation");
  const TrainOptions& o = run_.options;
  const core::RandomKey key = {.seed = static_cast<uint64_t>(o.seed),
                               .stream = core::Stream::Evaluation,
                               .step = static_cast<uint64_t>(steps_done_)};
  core::Stopwatch watch;
  const int64_t max_new_tokens = o.eval.max_new_tokens > 0 ? o.eval.max_new_tokens : o.rollout.max_new_tokens;
  std::vector<rollout::Group> own =
      sample_own_part(run_, run_.heldout, {o.eval.samples, max_new_tokens, o.eval.sampling, key});
  run_.stops->begin("evaluation");  // a reward command that a stop has cut short has judged nothing
  eval::EvalResult result = eval::score_groups(gather_groups(*run_.comm, run_.heldout, std::move(own)));
  result.seconds = watch.seconds();
  if (reporter_ != nullptr) {
    reporter_->evaluation(steps_done_, {to_report(result)});
    if (steps_done_ > 0)
      scores_[steps_done_] = run_.options.checkpoint.best_metric == checkpoint::Metric::Accuracy
                                 ? result.accuracy
                                 : result.metrics.majority.mean;
  }
  summary_.evaluations.push_back({steps_done_, result.accuracy, result.interval, result.mean_length, result.seconds});
  spdlog::info(
      "after step {}: accuracy {:.1f} % ({:.1f} – {:.1f}) on {} held-out problems, {:.1f} tokens a response, {:.0f} % "
      "ended by themselves",
      steps_done_, 100 * result.accuracy, 100 * result.interval.low, 100 * result.interval.high, result.groups.size(),
      result.mean_length, 100 * result.ended_share);
}

}  // namespace thinktune::train
