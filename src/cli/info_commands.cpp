// compare, docs, --version.
#include <ATen/Parallel.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/instruction_set.h"
#include "thinktune/cli/commands.h"
#include "thinktune/cli/config.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/ops/device.h"
#include "thinktune/report/table.h"

namespace thinktune::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct RunRows {
  std::string name;
  std::vector<json> evaluations;  // of the benchmark "heldout", in order of steps
  double train_s = 0;
};

std::vector<json> read_lines(const fs::path& file) {
  std::istringstream lines(core::read_file(file, "run's file"));
  std::vector<json> rows;
  std::string line;
  while (std::getline(lines, line)) {
    if (lines.eof()) break;  // no line break yet: a run that goes on is writing it
    core::check_json_depth(line, fmt::format("{}:{}", file.string(), rows.size() + 1));
    rows.push_back(json::parse(line, nullptr, false));
    if (!rows.back().is_object())
      throw core::data_error(fmt::format("{}:{}: not a JSON object", file.string(), rows.size()));
  }
  return rows;
}

// "runs/grpo" and "runs/grpo/" → "grpo".
std::string last_name(const fs::path& folder) {
  const fs::path clean = fs::absolute(folder).lexically_normal();
  return clean.has_filename() ? clean.filename().string() : clean.parent_path().filename().string();
}

double number(const json& row, const char* key, const fs::path& file) {
  if (!row.contains(key) || !row[key].is_number())
    throw core::data_error(fmt::format("{}: a row has no number {}", file.string(), key));
  return row[key];
}

report::ResultRow to_row(const std::string& name, const json& e, double seconds, const fs::path& file) {
  return {name,
          number(e, "accuracy", file),
          number(e, "accuracy_low", file),
          number(e, "accuracy_high", file),
          number(e, "mean_length", file),
          seconds};
}

}  // namespace

int run_compare(const CompareCommand& command) {
  std::vector<report::ResultRow> rows;
  for (const std::string& argument : command.runs) {
    const size_t equals = argument.find('=');
    const fs::path folder = equals == std::string::npos ? argument : argument.substr(equals + 1);
    const std::string name = equals == std::string::npos ? last_name(folder) : argument.substr(0, equals);
    if (!fs::exists(folder / "eval.jsonl"))
      throw core::user_error(fmt::format("{} is not the output folder of a run: it has no eval.jsonl", folder.string()),
                             "give the folder that the setting output of the run named");
    const fs::path eval_file = folder / "eval.jsonl", metrics_file = folder / "metrics.jsonl";
    const std::vector<json> evaluations = read_lines(eval_file);
    if (evaluations.empty())
      throw core::user_error(fmt::format("{} has no evaluation", folder.string()),
                             "the run had no held-out problems, or has not come to its first evaluation yet");
    double train_s = 0;
    for (const json& step : read_lines(metrics_file)) train_s += number(step, "time/step_s", metrics_file);
    if (rows.empty() && evaluations.front().value("step", nlohmann::json()) == 0)
      rows.push_back(to_row("zero-shot", evaluations.front(), 0, eval_file));
    rows.push_back(to_row(name, evaluations.back(), train_s, eval_file));
  }
  std::printf("%s", report::format_table(rows).c_str());
  return 0;
}

int run_docs() {
  std::printf(
      "# Every setting of a config\n\n"
      "A config is JSON; `//` and `/* */` comments are allowed. A key that is left out has the default below; an "
      "unknown key, a wrong type or a value\n"
      "out of range stops the program before any work. `--set section.key=value` on the command line wins over the "
      "file. Paths are relative to the\n"
      "working directory. `thinktune train --config F --dry-run` prints all settings as they will be used.\n\n"
      "This file is made by `thinktune docs` from the options in the code; a test compares the two.\n\n%s",
      to_markdown(train::TrainOptions{}).c_str());
  return 0;
}

std::string version_text() {
  return fmt::format("thinktune {}\nLibTorch {}, kernels: {}, {} threads, {}\nbuilt with g++ {}", THINKTUNE_VERSION,
                     THINKTUNE_TORCH_VERSION, kernels::name_of(kernels::instruction_set()), at::get_num_threads(),
                     ops::cuda_support(), __VERSION__);
}

}  // namespace thinktune::cli
