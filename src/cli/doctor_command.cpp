// doctor: a machine, a model and a config before a run.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/ranks.h"
#include "thinktune/cli/commands.h"
#include "thinktune/core/error.h"
#include "thinktune/train/doctor.h"

namespace thinktune::cli {
namespace {

using nlohmann::ordered_json;
using train::Finding;
using train::Health;

constexpr double kLongestWait_s = 60;  // for a rank, where comm.timeout_s allows more: somebody looks on

// Every line of a text behind the same indentation.
std::string indented(const std::string& text, size_t width) {
  std::string result;
  for (const char c : text) {
    result += c;
    if (c == '\n') result += std::string(width, ' ');
  }
  return result;
}

void print_line(const Finding& finding) {
  constexpr size_t kColumn = 25;
  fmt::print("{:<8} {:<15} {}\n", core::name_of(train::kHealthNames, finding.health), finding.check,
             indented(finding.found, kColumn));
  if (!finding.advice.empty()) fmt::print("{:<{}}→ {}\n", "", kColumn, indented(finding.advice, kColumn + 2));
  std::fflush(stdout);  // the next check may take a while
}

ordered_json to_json(const Finding& finding) {
  return {{"check", finding.check},
          {"status", core::name_of(train::kHealthNames, finding.health)},
          {"found", finding.found},
          {"advice", finding.advice}};
}

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) line += c == '\n' ? std::string(", ") : std::string(1, c);
  return line;
}

}  // namespace

int run_doctor(const DoctorCommand& command) {
  if (const std::optional<int> code = launch_ranks(command.nproc)) return *code;
  const bool has_config = !command.config.empty() || !command.set.empty();
  train::TrainOptions options = read_train_options(command.config, command.set);
  const std::unique_ptr<comm::Communicator> ranks =
      join_ranks(options, std::min(options.comm.timeout_s, kLongestWait_s));
  if (!ranks->is_first()) {
    train::examine_ranks(*ranks, options.device, [](const Finding& finding) {
      if (finding.health == Health::Failed) throw core::Error(finding.kind, finding.found, finding.advice);
    });
    return 0;
  }
  std::vector<Finding> findings;
  const auto on_finding = [&](const Finding& finding) {
    findings.push_back(finding);
    if (!command.json) print_line(finding);
  };
  train::examine_machine(one_line(version_text()), on_finding);
  train::examine_ranks(*ranks, options.device, on_finding);
  if (has_config)
    train::examine_run(
        options,
        {.sampled = !command.quick, .ranks = {.all = ranks->size(), .local = comm::read_environment().local_size}},
        on_finding);

  std::vector<std::string> failed;
  int64_t num_warnings = 0;
  int code = 0;
  for (const Finding& finding : findings) {
    num_warnings += finding.health == Health::Warning;
    if (finding.health != Health::Failed) continue;
    if (failed.empty()) code = core::exit_code(finding.kind);
    failed.push_back(finding.check);
  }
  if (command.json) {
    ordered_json all = ordered_json::array();
    for (const Finding& finding : findings) all.push_back(to_json(finding));
    const ordered_json report = {{"failed", failed.size()}, {"warnings", num_warnings}, {"checks", all}};
    fmt::print("{}\n", report.dump(2, ' ', false, ordered_json::error_handler_t::replace));
  } else if (!has_config) {
    fmt::print("\nthe machine alone; with --config FILE also the model, the data and the reward of a run\n");
  } else {
    fmt::print("\n{} checks, {} failed, {} warnings\n", findings.size(), failed.size(), num_warnings);
  }
  std::fflush(stdout);
  if (!failed.empty())
    fmt::print(stderr, "error: {} of {} checks failed: {}\n", failed.size(), findings.size(), fmt::join(failed, ", "));
  return code;
}

}  // namespace thinktune::cli
