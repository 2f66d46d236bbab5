#include "cli/stops.h"

#include <cstdio>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/command_line.h"
#include "thinktune/checkpoint/checkpoint.h"
#include "thinktune/comm/environment.h"
#include "thinktune/comm/launcher.h"
#include "thinktune/core/last_words.h"
#include "thinktune/core/signals.h"

namespace thinktune::cli {
namespace fs = std::filesystem;
namespace {

bool has_results(const fs::path& output) {
  std::error_code ignored;
  return !output.empty() && fs::exists(output / "metrics.jsonl", ignored);
}

std::string resume_command() {
  std::vector<std::string> words = own_command_line();
  std::erase_if(words, [](const std::string& word) { return word == "--resume" || word.starts_with("--resume="); });
  words.push_back("--resume");
  return quoted(words);
}

// Which ranks the command is for, where a launcher has started this one.
std::string of_ranks() {
  try {
    const comm::Environment e = comm::read_environment();
    if (e.size > 1 && !comm::is_launched()) return fmt::format(", start all {} ranks by {} with", e.size, e.launcher);
  } catch (const core::Error&) {  // an environment that contradicts itself is the error that is being told
  }
  return "";
}

// Before the first phase.
std::string to_begin(const Call& call) {
  return fmt::format("to {}{}: {}", call.resumes ? "go on" : "begin", of_ranks(), quoted(own_command_line()));
}

// After an error of a run: what failed, where, what was saved, how to go on, as one error.
core::Error at_stop(const core::Error& error, train::Trainer& trainer) {
  const train::StopPoints& at = trainer.stops();
  std::string advice = error.hint().empty() ? "" : error.hint() + "\n  ";
  advice += fmt::format("where: {}, {}; {} of {} steps are done\n  {}", trainer.parts().comm->place(at.step()),
                        at.phase(), trainer.steps_done(), trainer.parts().options.steps, trainer.what_was_saved());
  advice += "\n  when that is mended, " + to_go_on();
  return {error.kind(), error.message(), advice};
}

}  // namespace

std::string to_go_on() { return fmt::format("to go on{}: {}", of_ranks(), resume_command()); }

void prepare_last_words(const Call& call) {
  core::set_saved("where: " + train::before_first_step());
  core::set_way_on(to_begin(call));
}

std::function<std::string()> last_words_of_ranks(const Call& call) {
  const bool of_another_run = !call.resumes && has_results(call.output);
  return [call, of_another_run]() -> std::string {
    if (of_another_run || !has_results(call.output)) return "  nothing was saved\n  " + to_begin(call) + "\n";
    const fs::path newest = checkpoint::newest_in(call.output / "checkpoints");
    return "  " + checkpoint::what_was_saved(newest) + "\n  " + to_go_on() + "\n";
  };
}

core::Error before_the_run(const core::Error& error, const Call& call, const fs::path& saved) {
  std::string advice = error.hint().empty() ? "" : error.hint() + "\n  ";
  advice += "where: " + train::before_first_step(saved);
  advice += "\n  when that is mended, " + to_begin(call);
  if (!call.resumes && has_results(call.output))
    advice += fmt::format("\n  to go on with the run in {}{}: {}", call.output.string(), of_ranks(), resume_command());
  return {error.kind(), error.message(), advice};
}

train::TrainSummary run_to_its_end(train::Trainer& trainer, train::RunRequest request, const Call& call) {
  try {
    request.way_on = to_go_on();
    return trainer.run(request);
  } catch (const std::exception& exception) {
    const core::Error error = train::to_error(exception);
    if (trainer.stops().phase() == train::StopPoints::kSetUp)
      throw before_the_run(error, call, trainer.last_checkpoint());
    throw at_stop(error, trainer);
  }
}

int end_by_signal(const train::TrainSummary& summary, int64_t num_steps) {
  std::fprintf(stderr, "stopped by %s after step %ld of %ld\n  %s\n  %s\n", core::stop_name(summary.stop_signal),
               static_cast<long>(summary.steps_done), static_cast<long>(num_steps),
               checkpoint::what_was_saved(summary.checkpoint).c_str(), to_go_on().c_str());
  return 128 + summary.stop_signal;
}

}  // namespace thinktune::cli
