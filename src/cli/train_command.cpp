#include <spdlog/spdlog.h>

#include <cstdio>
#include <filesystem>
#include <sstream>

#include "thinktune/cli/commands.h"
#include "thinktune/cli/config.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
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

// What the run takes at its peak: known from the model's config, before anything is loaded.
std::string describe_memory(const train::TrainOptions& options) {
  if (!std::filesystem::exists(options.model))
    return fmt::format("memory: not known, there is no model at {}\n", options.model);
  const auto parts = train::memory_of_training(model::Pretrained(options.model).config(), options);
  std::string text = fmt::format("memory at the peak of a step: about {:.2f} GB\n",
                                 static_cast<double>(train::peak_bytes(parts)) / 1e9);
  for (const train::MemoryPart& part : parts)
    text += fmt::format("  {:<45} {:>8.2f}\n", part.what, static_cast<double>(part.bytes) / 1e9);
  return text;
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
  const train::TrainOptions options = read_train_options(command.config, command.set);
  train::validate(options);
  const std::string resolved = to_json_text(options);
  if (command.dry_run) {
    std::printf("%s\n%s", resolved.c_str(),
                as_comments(train::describe_sizes(options) + describe_memory(options)).c_str());
    return 0;
  }
  core::Stopwatch watch;
  train::Trainer trainer(options, resolved);
  spdlog::info("{}: {:.1f} M parameters, ready after {}", options.model,
               static_cast<double>(model::num_parameters(trainer.parts().config)) / 1e6,
               core::human_duration(watch.seconds()));
  const train::TrainSummary summary = trainer.run(command.resume, command.stop_after);

  std::vector<report::ResultRow> rows;
  for (const train::Evaluation& e : summary.evaluations)
    rows.push_back({e.step == 0 ? "zero-shot" : fmt::format("after step {}", e.step), e.accuracy, e.interval.low,
                    e.interval.high, e.mean_length, e.seconds});
  if (!rows.empty()) std::printf("%s", report::format_table(rows).c_str());
  if (summary.steps_done < options.steps)
    std::printf("stopped after step %ld of %ld; the same command with --resume goes on\n",
                static_cast<long>(summary.steps_done), static_cast<long>(options.steps));
  std::printf("steps took %s; checkpoint: %s; all files of the run: %s\n",
              core::human_duration(summary.train_s).c_str(), summary.checkpoint.string().c_str(),
              options.output.c_str());
  return 0;
}

}  // namespace thinktune::cli
