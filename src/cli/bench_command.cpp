#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "thinktune/cli/commands.h"
#include "thinktune/core/error.h"
#include "thinktune/train/bench.h"

namespace thinktune::cli {
namespace {

nlohmann::ordered_json to_json(const train::BenchResult& result, const train::TrainOptions& options) {
  const auto steps = static_cast<double>(result.step_s.size());
  nlohmann::ordered_json json = {{"model", options.model},
                                 {"step_s", result.step_s},
                                 {"rollouts_a_step", static_cast<double>(result.num_rollouts) / steps},
                                 {"response_tokens_a_step", static_cast<double>(result.response_tokens) / steps}};
  for (const train::BenchPart& part : result.parts) {
    nlohmann::ordered_json row = {{"name", part.name},
                                  {"seconds_a_step", part.seconds / steps},
                                  {"tokens_a_step", static_cast<double>(part.tokens) / steps},
                                  {"tokens_per_s", static_cast<double>(part.tokens) / part.seconds},
                                  {"products_s_a_step", part.products_s / steps},
                                  {"gflops", part.operations / part.seconds / 1e9},
                                  {"share_of_product_peak", part.products_s / part.seconds}};
    if (part.rows_a_pass > 0) row["rows_a_pass"] = part.rows_a_pass;
    if (part.peak_bytes > 0) row["peak_bytes"] = part.peak_bytes;
    json["parts"].push_back(std::move(row));
  }
  json["product_gflops"] = result.product_gflops;
  json["ready_s"] = result.ready_s;
  json["peak_bytes"] = result.peak_bytes;
  json["device"] = result.device;
  json["device_peak_bytes"] = result.device_peak_bytes;
  json["device_reserved_bytes"] = result.device_reserved_bytes;
  return json;
}

std::string or_nothing(double value, int digits) { return value > 0 ? fmt::format("{:.{}f}", value, digits) : ""; }

}  // namespace

int run_bench(const BenchCommand& command) {
  train::TrainOptions options = read_train_options(command.config, command.set);
  if (!command.device.empty()) options.device = command.device;
  train::validate(options);
  const train::BenchResult result =
      train::run_bench(options, {.steps = command.steps, .warm_up = command.warm_up, .ignore_eos = command.ignore_eos});
  if (command.json) {
    std::printf("%s\n", to_json(result, options).dump().c_str());
    return 0;
  }
  const auto steps = static_cast<double>(result.step_s.size());
  double total_s = 0;
  for (const double s : result.step_s) total_s += s;
  std::printf("%-17s %10s %10s %10s %11s %13s %9s %10s %11s\n", "part", "s a step", "tokens", "tokens/s", "rows a pass",
              "products, s", "of peak", "GFLOP/s", "memory, GB");
  for (const train::BenchPart& part : result.parts)
    std::printf("%-17s %10.2f %10.0f %10.0f %11s %13.2f %7.0f %% %10.0f %11s\n", part.name.c_str(),
                part.seconds / steps, static_cast<double>(part.tokens) / steps,
                static_cast<double>(part.tokens) / part.seconds, or_nothing(part.rows_a_pass, 1).c_str(),
                part.products_s / steps, 100 * part.products_s / part.seconds, part.operations / part.seconds / 1e9,
                or_nothing(static_cast<double>(part.peak_bytes) / 1e9, 2).c_str());
  std::printf("%-17s %10.2f %10.0f %10.0f\n", "step", total_s / steps,
              static_cast<double>(result.response_tokens) / steps,
              static_cast<double>(result.response_tokens) / total_s);
  std::printf(
      "products: what the model's matrix products take for the same passes, measured after the steps (update: %.0f "
      "GFLOP/s)\nready after %.1f s; peak memory %.2f GB\n",
      result.product_gflops, result.ready_s, static_cast<double>(result.peak_bytes) / 1e9);
  if (result.device_peak_bytes > 0)
    std::printf("%s; peak memory of its tensors %.2f GB, held for them %.2f GB\n", result.device.c_str(),
                static_cast<double>(result.device_peak_bytes) / 1e9,
                static_cast<double>(result.device_reserved_bytes) / 1e9);
  return 0;
}

}  // namespace thinktune::cli
