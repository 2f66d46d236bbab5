#include <c10/util/Exception.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <new>

#include "thinktune/cli/commands.h"
#include "thinktune/core/error.h"
#include "thinktune/core/log.h"

namespace thinktune::cli {
namespace {

void add_train(CLI::App& app, TrainCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("train", "Train a model by ThinkTuning, or by plain GRPO");
  sub->add_option("--config", command.config, "Settings: JSON with comments; every key is explained in configs/README.md")->required();
  sub->add_option("--set", command.set, "Change one setting: --set optim.lr=1e-6 (may be given several times)")->expected(1)->take_all();
  sub->add_flag("--resume", command.resume, "Go on from the newest whole checkpoint of the output folder");
  sub->add_flag("--dry-run", command.dry_run, "Check the settings, print them and what the sizes mean, and stop");
  sub->add_option("--stop-after", command.stop_after, "Save and stop after so many steps of this call")->check(CLI::PositiveNumber);
  sub->callback([&] { action = [&] { return run_train(command); }; });
}

void add_eval(CLI::App& app, EvalCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("eval", "Measure a model's accuracy on problems, with its 95 % interval");
  sub->add_option("--model", command.model, "Hugging Face folder (a checkpoint is one) or .gguf file")->required();
  sub->add_option("--data", command.data, "Problems: JSONL rows {\"id\", \"problem\", \"answer\"}; default: the config's held-out ones");
  sub->add_option("--config", command.config, "Training config whose prompt, reward, data and eval sections are used");
  sub->add_option("--set", command.set, "Change one setting: --set rollout.max_new_tokens=512")->expected(1)->take_all();
  sub->add_option("--precision", command.precision, "bf16 or f32")->check(CLI::IsMember({"bf16", "f32"}))->capture_default_str();
  sub->add_option("--output", command.output, "Write every answer to this JSONL file");
  sub->callback([&] { action = [&] { return run_eval(command); }; });
}

void add_generate(CLI::App& app, GenerateCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("generate", "Let a model answer one prompt");
  sub->add_option("--model", command.model, "Hugging Face folder (a checkpoint is one) or .gguf file")->required();
  sub->add_option("--prompt", command.prompt, "What the user says")->required();
  sub->add_option("--system", command.system, "System text; default: the chat template's own");
  sub->add_flag("--raw", command.raw, "Continue the prompt as it is, without the chat template");
  sub->add_option("--max-new-tokens", command.max_new_tokens, "Limit of the answer")->check(CLI::PositiveNumber)->capture_default_str();
  sub->add_option("--temperature", command.temperature, "0: greedy")->check(CLI::NonNegativeNumber)->capture_default_str();
  sub->add_option("--seed", command.seed, "Seed for temperatures above 0")->check(CLI::NonNegativeNumber)->capture_default_str();
  sub->add_option("--precision", command.precision, "bf16 or f32")->check(CLI::IsMember({"bf16", "f32"}))->capture_default_str();
  sub->add_flag("--ids", command.ids, "Print token ids instead of text");
  sub->callback([&] { action = [&] { return run_generate(command); }; });
}

int run(int argc, char** argv) {
  CLI::App app{"thinktune: RL fine-tuning of language models with a teacher of the same size (ThinkTuning, GRPO)\n\n"
               "  thinktune train --config configs/quickstart.json --set model=MODEL.gguf\n"
               "  thinktune eval --model runs/quickstart/checkpoints/step-30 --config configs/quickstart.json\n"};
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text());
  std::function<int()> action;
  TrainCommand train;
  EvalCommand eval;
  GenerateCommand generate;
  CompareCommand compare;
  add_train(app, train, action);
  add_eval(app, eval, action);
  add_generate(app, generate, action);
  CLI::App* sub = app.add_subcommand("compare", "Table of the evaluations of finished runs");
  sub->add_option("runs", compare.runs, "Run folders, each as FOLDER or NAME=FOLDER")->required();
  sub->callback([&] { action = [&] { return run_compare(compare); }; });
  app.add_subcommand("docs", "Print the documentation of every setting (configs/README.md)")->callback([&] { action = run_docs; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  core::set_up_logging();
  return action();
}

// Errors of LibTorch carry a stack trace behind the first line.
std::string first_line(const char* what) {
  const std::string text(what);
  return text.substr(0, text.find('\n'));
}

}  // namespace
}  // namespace thinktune::cli

int main(int argc, char** argv) {
  using namespace thinktune;
  try {
    return cli::run(argc, argv);
  } catch (const core::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return core::exit_code(e.kind());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory\n  lower update.micro_batch_tokens or engine.max_sequences; the last checkpoint is whole\n");
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "error: LibTorch: %s\n", cli::first_line(e.what_without_backtrace()).c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n  this is a bug in thinktune: please report it with the command that led here\n", e.what());
  }
  return 1;
}
