#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <thread>

#include "thinktune/cli/commands.h"
#include "thinktune/cli/config.h"
#include "thinktune/comm/communicator.h"
#include "thinktune/comm/launcher.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/ops/device.h"
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

// The ranks of a machine share its cores.
void divide_cores(const comm::Environment& environment) {
  if (environment.local_size == 1 || std::getenv("OMP_NUM_THREADS") != nullptr) return;
  const int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  at::set_num_threads(static_cast<int>(std::max<int64_t>(1, cores / environment.local_size)));
}

// A process that hangs in an operation cannot be ended by an error.
[[noreturn]] void end_process(const std::string& message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  std::fflush(nullptr);
  std::_Exit(core::exit_code(core::ErrorKind::Device));
}

// Meets the other ranks; `options.device` becomes this rank's.
std::unique_ptr<comm::Communicator> join_ranks(train::TrainOptions& options) {
  const comm::Environment environment = comm::read_environment();
  divide_cores(environment);
  // What rank 0 says is enough.
  if (environment.rank > 0 && std::getenv("THINKTUNE_LOG") == nullptr) spdlog::set_level(spdlog::level::err);
  comm::ConnectOptions connect = {.timeout_s = options.comm.timeout_s, .on_stuck = end_process};
  if (environment.size > 1) {
    const ops::LocalRank local = {
        .rank = environment.local_rank,
        .size = environment.local_size,
        .may_see_only_its_own = environment.launcher == "Slurm" || environment.launcher == "Open MPI"};
    options.device = ops::device_of_rank(options.device, local, ops::num_gpus());
    const at::Device device = ops::open_device(options.device);
    if (device.is_cuda()) connect.cuda_device = device.index();
  }
  auto ranks = comm::connect(environment, connect);
  if (environment.size > 1) spdlog::info("{} ranks, started by {}", environment.size, environment.launcher);
  return ranks;
}

void print_summary(const train::TrainSummary& summary, const train::TrainOptions& options) {
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
  train::TrainOptions options = read_train_options(command.config, command.set);
  train::validate(options);
  const std::string resolved = to_json_text(options);
  if (command.dry_run) {
    std::printf("%s\n%s", resolved.c_str(),
                as_comments(train::describe_sizes(options) +
                            describe_memory(options, command.nproc > 0 ? command.nproc : comm::read_environment().size))
                    .c_str());
    return 0;
  }
  if (command.nproc > 0 && !comm::is_launched()) {
    if (const comm::Environment e = comm::read_environment(); e.size > 1)
      throw core::user_error(fmt::format("--nproc starts ranks itself, but this process is rank {} of {} of {}", e.rank,
                                         e.size, e.launcher),
                             "leave out --nproc");
    return comm::launch_local(command.nproc);
  }
  core::Stopwatch watch;
  std::unique_ptr<comm::Communicator> ranks = join_ranks(options);
  train::Trainer trainer(options, resolved, nullptr, std::move(ranks));
  spdlog::info("{}: {:.1f} M parameters, ready after {}", options.model,
               static_cast<double>(model::num_parameters(trainer.parts().config)) / 1e6,
               core::human_duration(watch.seconds()));
  const train::TrainSummary summary = trainer.run(command.resume, command.stop_after);
  if (trainer.parts().comm->is_first()) print_summary(summary, options);
  return 0;
}

}  // namespace thinktune::cli
