#include "run_folder.h"

#include "thinktune/core/error.h"
#include "thinktune/report/reporter.h"

namespace thinktune::train {
namespace fs = std::filesystem;

fs::path checkpoint_folder(const TrainOptions& options) { return fs::path(options.output) / "checkpoints"; }

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
  return core::data_error(
      fmt::format("there is no whole checkpoint to resume from in {}: {}", folder.string(), skipped.front()),
      "a run goes on only with the model that it was started with; if its checkpoints are damaged, start it again in "
      "another output folder");
}

bool has_results(const TrainOptions& options) { return fs::exists(fs::path(options.output) / "metrics.jsonl"); }

void check_checkpoint_folder(const TrainOptions& options) {
  const fs::path folder = checkpoint_folder(options);
  if (fs::is_symlink(folder) && !fs::is_directory(folder))
    throw core::user_error(
        fmt::format("{} leads to {}, which is not there", folder.string(), fs::read_symlink(folder).string()),
        "mount what is missing, or make the folder");
}

// The save of a step is over before that of the next one that is due begins.
void refuse_lost_checkpoints(const TrainOptions& options) {
  const int64_t every = options.checkpoint.every, reported = report::last_step_in(options.output);
  if (every > 0 && reported > 2 * every)
    throw core::user_error(
        fmt::format("the run in {} has done {} steps, with a checkpoint every {}, and there is none in {}",
                    options.output, reported, every, checkpoint_folder(options).string()),
        "if they are elsewhere, bring them back (a disk may not be mounted); to begin anew, start without --resume in "
        "another output folder");
}

bool are_one(const fs::path& a, const fs::path& b) {
  std::error_code absent;
  return fs::equivalent(a, b, absent);
}

void refuse_other_results(const TrainOptions& options, const fs::path& checkpoint) {
  if (report::last_step_in(options.output) == 0 && checkpoint::newest_in(checkpoint_folder(options)).empty()) return;
  throw core::user_error(
      fmt::format("{} is not among the checkpoints of the run in {}", checkpoint.string(), options.output),
      "go on with that run by --resume alone, or with this checkpoint in a new folder: --set output=…");
}

}  // namespace thinktune::train
