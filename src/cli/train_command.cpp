#include <spdlog/spdlog.h>
#include <stdio_ext.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "cli/command_line.h"
#include "cli/ranks.h"
#include "cli/stops.h"
#include "cli/verify_resume.h"
#include "thinktune/cli/commands.h"
#include "thinktune/cli/config.h"
#include "thinktune/comm/communicator.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/signals.h"
#include "thinktune/report/table.h"
#include "thinktune/train/memory.h"
#include "thinktune/train/trainer.h"

namespace thinktune::cli {
namespace {

// Each line behind "// ": what --dry-run prints is a config itself.
std::string as_comments(const std::string& text) {
  std::string comments;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) comments += "// " + line + "\n";
  return comments;
}

// What the run takes at its peak: known from the model's config, before anything is loaded. Of the CPU's memory and of
// a GPU's, wherever it is asked: a run is planned on another machine than it is for.
std::string describe_memory(const train::TrainOptions& options, int64_t num_ranks) {
  if (!std::filesystem::exists(options.model))
    return fmt::format("memory: not known, there is no model at {}\n", options.model);
  const model::ModelConfig config = model::Pretrained(options.model).config();
  const std::string ranks = num_ranks > 1 ? fmt::format(", on each of {} ranks", num_ranks) : "";
  std::string text;
  const auto describe = [&](train::Processor processor, const std::string& where, bool fits) {
    const auto parts = train::memory_of_training(config, options, num_ranks, processor);
    const int64_t peak = train::peak_bytes(parts);
    text += fmt::format("memory at the peak of a step {}{}: about {:.2f} GB{}\n", where, ranks,
                        static_cast<double>(peak) / 1e9, fits ? "; it " + train::gpus_that_hold(peak) : "");
    for (const train::MemoryPart& part : parts)
      text += fmt::format("  {:<45} {:>8.2f}\n", part.what, static_cast<double>(part.bytes) / 1e9);
  };
  if (!options.device.starts_with("cuda")) describe(train::Processor::Cpu, "on the CPU", false);
  if (options.device != "cpu") describe(train::Processor::Gpu, "on a GPU", true);
  return text;
}

void print_summary(const train::TrainSummary& summary, const train::TrainOptions& options) {
  std::vector<report::ResultRow> rows;
  for (const train::Evaluation& e : summary.evaluations)
    rows.push_back({e.step == 0 ? "zero-shot" : fmt::format("after step {}", e.step), e.accuracy, e.interval.low,
                    e.interval.high, e.mean_length, e.seconds});
  if (!rows.empty()) std::printf("%s", report::format_table(rows).c_str());
  if (summary.steps_done < options.steps)
    std::printf("stopped after step %ld of %ld; %s\n", static_cast<long>(summary.steps_done),
                static_cast<long>(options.steps), to_go_on().c_str());
  std::printf("saving held training up for %s in all", core::human_duration(summary.held_up_s).c_str());
  if (summary.step_beside_save_s > 0)
    std::printf("; a step took %s beside a save", core::human_duration(summary.step_beside_save_s).c_str());
  if (summary.step_beside_save_s > 0 && summary.step_alone_s > 0)
    std::printf(", %s without", core::human_duration(summary.step_alone_s).c_str());
  std::printf("\n");
  std::printf("steps took %s; checkpoint: %s; all files of the run: %s\n",
              core::human_duration(summary.train_s).c_str(), summary.checkpoint.string().c_str(),
              options.output.c_str());
  // Nobody may be there to read it any more: the run is in its folder, and has not failed.
  std::fflush(stdout);
  ::__fpurge(stdout);
  std::clearerr(stdout);
}

}  // namespace

train::TrainOptions read_train_options(const std::string& config, const std::vector<std::string>& set) {
  ConfigDocument document = config.empty() ? ConfigDocument() : ConfigDocument::from_file(config);
  for (const std::string& assignment : set) document.set(assignment);
  train::TrainOptions options;
  const auto mode = document.value().find("mode");
  if (mode != document.value().end() && *mode == "reference") train::apply_mode(options, train::Mode::Reference);
  read_options(document, options);
  return options;
}

int run_train(const TrainCommand& command) {
  core::ignore_broken_pipes();
  Call call = {.resumes = !command.resume.empty()};
  train::TrainOptions options = set_up(call, [&] {
    train::TrainOptions read = read_train_options(command.config, command.set);
    train::validate(read);
    return read;
  });
  call.output = options.output;
  const std::string resolved = to_json_text(options);
  if (command.dry_run) {
    std::printf("%s\n%s", resolved.c_str(),
                as_comments(train::describe_sizes(options) +
                            describe_memory(options, command.nproc > 0 ? command.nproc : comm::read_environment().size))
                    .c_str());
    return 0;
  }
  if (command.verify_resume) {
    if (const comm::Environment e = comm::read_environment(); e.size > 1)
      throw core::user_error(
          fmt::format("--verify-resume starts its runs itself, and this process is rank {} of {}", e.rank, e.size),
          "without the launcher: --nproc N --verify-resume");
    return verify_resume(options);
  }
  if (const auto code = set_up(call, [&] { return launch_ranks(command.nproc, last_words_of_ranks(call)); }))
    return *code;
  prepare_last_words(call);
  const bool is_first = set_up(call, [] { return comm::read_environment().rank == 0; });
  const core::EarlySignals signals(/*says=*/is_first);
  core::Stopwatch watch;
  const auto of_this_rank = set_up(call, [&] {
    std::unique_ptr<comm::Communicator> ranks = join_ranks(options, options.comm.timeout_s);
    return std::make_unique<train::Trainer>(options, resolved, nullptr, std::move(ranks));
  });
  train::Trainer& trainer = *of_this_rank;
  spdlog::info("{}: {:.1f} M parameters, ready after {}", options.model,
               static_cast<double>(model::num_parameters(trainer.parts().config)) / 1e6,
               core::human_duration(watch.seconds()));
  const train::TrainSummary summary = run_to_its_end(trainer,
                                                     {.resume = !command.resume.empty(),
                                                      .from = command.resume == "newest" ? "" : command.resume,
                                                      .allow_changed = command.allow_changed,
                                                      .max_steps = command.stop_after},
                                                     call);
  if (summary.stop_signal != 0)
    return trainer.parts().comm->is_first() ? end_by_signal(summary, options.steps) : 128 + summary.stop_signal;
  if (trainer.parts().comm->is_first()) print_summary(summary, options);
  return 0;
}

}  // namespace thinktune::cli
