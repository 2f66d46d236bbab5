#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>

#include "thinktune/cli/commands.h"
#include "thinktune/cli/thread_waits.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/heap.h"
#include "thinktune/core/log.h"
#include "thinktune/ops/device.h"
#include "thinktune/train/errors.h"
#include "usage.h"

namespace thinktune::cli {
namespace {

constexpr const char* kModelHelp = "Hugging Face folder (a checkpoint is one) or .gguf file";

CLI::Option* add_precision(CLI::App* sub, std::string& precision) {
  return sub->add_option("--precision", precision, "Numbers of the forward pass")
      ->type_name("")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->capture_default_str();
}

CLI::Option* add_device(CLI::App* sub, std::string& device) {
  return sub->add_option("--device", device, "What computes: auto (a GPU if there is one), cpu, cuda, cuda:N")
      ->type_name("NAME")
      ->check([](const std::string& name) -> std::string {
        try {
          ops::check_device_name(name, "--device");
          return "";
        } catch (const core::Error& error) {
          return fmt::format("{}: {}", error.message(), error.hint());
        }
      });
}

void add_chat_template(CLI::App* sub, std::string& file) {
  sub->add_option("--chat-template", file, "Jinja chat template in place of the model's own")->type_name("FILE");
}

void add_train(CLI::App& app, TrainCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("train", "Train a model by ThinkTuning, or by plain GRPO");
  sub->add_option("--config", command.config, "Settings: JSON with comments; configs/README.md explains every key")
      ->type_name("FILE")
      ->required();
  sub->add_option("--set", command.set, "Change one setting: --set optim.lr=1e-6 (may be given several times)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_flag("--resume{newest}", command.resume,
                "Go on from the newest whole checkpoint of the output folder; --resume=12: from that of step 12; "
                "--resume=PATH: from that one")
      ->type_name("");
  sub->add_flag("--allow-changed", command.allow_changed,
                "With --resume: go on although settings have changed that change the mathematics");
  sub->add_flag(
      "--verify-resume", command.verify_resume,
      "Train 3 steps twice beside the output folder, once killed in a step and in a save and resumed, and compare "
      "every byte");
  sub->add_flag("--dry-run", command.dry_run, "Check the settings, print them all and what the sizes mean, and stop");
  sub->add_option("--stop-after", command.stop_after, "Save and stop after N steps of this call; --resume goes on")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->add_option("--nproc", command.nproc,
                  "Train with N processes (ranks) on this machine; without it one, or as torchrun, Slurm or Open MPI "
                  "have started it")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->footer(
      "A first run:\n"
      "  thinktune train --config configs/quickstart.json --set model=MODEL.gguf\n"
      "After a crash or --stop-after: the same command with --resume.\n"
      "Ctrl-C, SIGTERM or SIGHUP: saves and stops (exit code 130, 143, 129); a second one stops at once. SIGUSR1: "
      "saves.\n\n"
      "The output folder (setting: output) gets\n"
      "  config.json                  all settings as they were used\n"
      "  log.txt                      what the console showed\n"
      "  metrics.jsonl, tensorboard/  numbers of every step\n"
      "  eval.jsonl, eval/            accuracy on the held-out problems, and every answer\n"
      "  rollouts/step-N.jsonl        what student and teacher wrote\n"
      "  checkpoints/step-N/          a Hugging Face folder, and what --resume needs");
  sub->callback([&] { action = [&] { return run_train(command); }; });
}

void add_eval_compare(CLI::App& eval, EvalCompareCommand& command, std::function<int()>& action) {
  CLI::App* sub = eval.add_subcommand("compare", "Two evaluations of the same problems: difference, interval, p-value");
  sub->add_option("a", command.a, "Folder that eval --out wrote")->type_name("A")->required();
  sub->add_option("b", command.b, "Another; the difference is B - A")->type_name("B")->required();
  sub->add_option("--seed", command.seed, "Seed of the resampled problems")
      ->type_name("N")
      ->check(whole_number_from(0))
      ->capture_default_str();
  sub->footer(
      "Paired bootstrap by problem, 10,000 resamples; the problems that B won and lost are listed.\n"
      "  thinktune eval compare before after");
  sub->callback([&] { action = [&] { return run_eval_compare(command); }; });
}

void add_eval_protocol(CLI::App* sub, EvalCommand& command) {
  sub->add_option("--suite", command.suites, fmt::format("Benchmarks: {}", fmt::join(eval::suite_names(), ", ")))
      ->type_name("A,B,...")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  sub->add_option("--data-dir", command.data_dir, "Folder with your copies of the data sets: gsm8k/test.jsonl, ...")
      ->type_name("FOLDER");
  std::vector<std::string> names;
  for (const eval::Protocol& protocol : eval::protocols()) names.push_back(protocol.full_name());
  sub->add_option("--protocol", command.protocol,
                  fmt::format("How they are asked and judged: {}; a name alone means its newest version",
                              fmt::join(names, ", ")))
      ->type_name("NAME");
  sub->add_option("--samples", command.overrides.samples, "Responses a problem; default: the protocol's")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->add_option("--temperature", command.overrides.temperature, "0: greedy; default: the protocol's")
      ->type_name("X")
      ->check(number_from(0));
  sub->add_option("--top-p", command.overrides.top_p, "Default: the protocol's")
      ->type_name("X")
      ->check(CLI::Range(1e-6, 1.0));
  sub->add_option("--max-new-tokens", command.overrides.max_new_tokens, "Limit of a response; default: the protocol's")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->add_option("--limit", command.limit, "Only the first N problems of each suite")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->add_option("--seed", command.seed, "Seed of sampled responses; default: 0")
      ->type_name("N")
      ->check(whole_number_from(0));
  sub->add_option("--batch", command.batch,
                  "Sequences decoded at a time; default: 64. What a stop loses is at most two rounds of them")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->add_option("--kv-cache-mib", command.kv_cache_mib,
                  "MiB for keys and values; sequences that would exceed it wait; default: 4096")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  sub->add_option("--out", command.out, "Write samples and summaries to this folder; the same command again goes on")
      ->type_name("FOLDER");
}

void add_eval(CLI::App& app, EvalCommand& command, EvalCompareCommand& compare_command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("eval", "Measure a model on benchmarks or problems, with its 95 % interval");
  sub->add_option("--model", command.model, kModelHelp)->type_name("PATH");
  add_eval_protocol(sub, command);
  sub->add_option(
         "--data", command.data,
         "Problems of your own in place of --suite: JSONL rows {\"id\", \"problem\", \"answer\"[, \"choices\"]}")
      ->type_name("FILE");
  sub->add_option("--config", command.config,
                  "Training config whose prompt, rollout, reward, data and eval sections are used")
      ->type_name("FILE");
  sub->add_option("--set", command.set,
                  "Change one setting: --set eval.max_new_tokens=512 (may be given several times)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  add_precision(sub, command.precision);
  add_device(sub, command.device);
  add_chat_template(sub, command.chat_template);
  sub->add_option("--output", command.output, "With --config or --set: write every answer to this JSONL file")
      ->type_name("FILE");
  add_eval_compare(*sub, compare_command, action);
  sub->footer(
      "Benchmarks, by a published protocol:\n"
      "  thinktune eval --model MODEL.gguf --suite math500,gsm8k --data-dir data --out before\n"
      "  thinktune eval --model trained --suite math500,gsm8k --data-dir data --out after\n"
      "  thinktune eval compare before after\n"
      "  thinktune eval --model MODEL --suite gsm8k --data-dir data --protocol lm-eval\n"
      "  thinktune eval --model MODEL --suite aime2024 --data-dir data --samples 16 --temperature 0.6\n"
      "  thinktune eval --model MODEL --data my.jsonl --out mine\n"
      "The folder of --out gets summary.json and, for each suite, samples.jsonl (every answer), settings.json,\n"
      "summary.json and timing.json.\n\n"
      "As the training run measured itself, before and after:\n"
      "  thinktune eval --config configs/quickstart.json --model MODEL.gguf\n"
      "  thinktune eval --config configs/quickstart.json --model runs/quickstart/checkpoints/step-30");
  sub->callback([&, sub] {
    if (sub->got_subcommand("compare")) return;
    if (command.model.empty()) throw CLI::RequiredError("--model");
    action = [&] { return run_eval(command); };
  });
}

void add_generate(CLI::App& app, GenerateCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("generate", "Let a model answer one prompt");
  sub->add_option("--model", command.model, kModelHelp)->type_name("PATH")->required();
  sub->add_option("--prompt", command.prompt, "What the user says")->type_name("TEXT")->required();
  sub->add_option("--system", command.system, "System text; default: the chat template's own")->type_name("TEXT");
  sub->add_flag("--raw", command.raw, "Continue the prompt as it is, without the chat template");
  sub->add_option("--max-new-tokens", command.max_new_tokens, "Limit of the answer")
      ->type_name("N")
      ->check(whole_number_from(1))
      ->capture_default_str();
  sub->add_option("--temperature", command.temperature, "0: always the likeliest token")
      ->type_name("X")
      ->check(number_from(0))
      ->capture_default_str();
  sub->add_option("--seed", command.seed, "Seed for temperatures above 0")
      ->type_name("N")
      ->check(whole_number_from(0))
      ->capture_default_str();
  add_precision(sub, command.precision);
  add_device(sub, command.device)->capture_default_str();
  add_chat_template(sub, command.chat_template);
  sub->add_flag("--ids", command.ids, "Print token ids instead of text");
  sub->footer(
      "  thinktune generate --model MODEL.gguf --prompt \"Tom has 3 apples and buys 4 more. How many has he?\"");
  sub->callback([&] { action = [&] { return run_generate(command); }; });
}

void add_convert(CLI::App& app, ConvertCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("convert", "Write a model as a Hugging Face folder or as GGUF");
  sub->add_option("in", command.in, kModelHelp)->type_name("IN")->required();
  sub->add_option("out", command.out, "What is written: NAME.gguf, or a folder")->type_name("OUT")->required();
  sub->add_option("--dtype", command.dtype, "auto: as it is stored, quantised weights as bf16; q8_0 only in a GGUF")
      ->type_name("")
      ->check(CLI::IsMember({"auto", "f32", "f16", "bf16", "q8_0"}))
      ->capture_default_str();
  sub->add_option("--max-shard-mb", command.max_shard_mb, "Largest safetensors file, in MB")
      ->type_name("N")
      ->check(whole_number_from(1))
      ->capture_default_str();
  add_chat_template(sub, command.chat_template);
  sub->footer(
      "  thinktune convert runs/quickstart/checkpoints/step-30 trained.gguf --dtype q8_0    for llama.cpp\n"
      "  thinktune convert MODEL.gguf folder                                               for transformers");
  sub->callback([&] { action = [&] { return run_convert(command); }; });
}

void add_inspect(CLI::App& app, InspectCommand& command, std::function<int()>& action) {
  CLI::App* sub =
      app.add_subcommand("inspect", "What a model is, what training it takes, and what looks wrong with it");
  sub->add_option("model", command.model, kModelHelp)->type_name("IN")->required();
  add_chat_template(sub, command.chat_template);
  sub->callback([&] { action = [&] { return run_inspect(command); }; });
}

void add_doctor(CLI::App& app, DoctorCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("doctor", "Check a machine, a model and a config before a run");
  sub->add_option("--config", command.config, "The run's settings; without it only the machine is looked at")
      ->type_name("FILE");
  sub->add_option("--set", command.set, "Change one setting: --set model=MODEL (may be given several times)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_flag("--quick", command.quick, "Without the checks that load the model and let it answer");
  sub->add_flag("--json", command.json, "One JSON object in place of the lines");
  sub->add_option("--nproc", command.nproc, "Try N ranks on this machine; without it those that a launcher has started")
      ->type_name("N")
      ->check(whole_number_from(1));
  sub->footer(
      "Every check is ok, warning, failed or skipped, with what to do. Exit code: 0, or that of the first failed one.\n"
      "  thinktune doctor --config configs/quickstart.json --set model=MODEL.gguf");
  sub->callback([&] { action = [&] { return run_doctor(command); }; });
}

void add_score(CLI::App& app, ScoreCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand("score", "Check answers against gold answers, without a model");
  sub->add_option(
         "file", command.file,
         "JSONL rows {\"id\", \"gold\", \"output\"} with whole texts, or with \"prediction\" for bare answers; "
         "-: the standard input")
      ->type_name("FILE")
      ->required();
  sub->add_option("--strict", command.strict,
                  "Where the strict verdict looks for the answer of an output, in this order")
      ->type_name("RULES")
      ->capture_default_str();
  sub->add_option("--lenient", command.lenient, "The same for the lenient verdict")
      ->type_name("RULES")
      ->capture_default_str();
  sub->add_option("--decides", command.decides, "Which of the two is \"verdict\"")
      ->type_name("")
      ->check(CLI::IsMember({"strict", "lenient"}))
      ->capture_default_str();
  sub->add_option("--label", command.label, "Field of the known verdict, true or false, that the summary compares with")
      ->type_name("FIELD")
      ->capture_default_str();
  sub->add_flag("--audit", command.audit, "Only rows whose strict and lenient verdicts differ");
  sub->footer(
      "  thinktune score outputs.jsonl > verdicts.jsonl\n"
      "The verdicts come as JSON lines {\"id\", \"verdict\", \"strict\", \"lenient\", \"extracted\", \"reason\"}, a "
      "summary "
      "on the standard error.\n"
      "RULES is a list with commas: box, tag, hashes, phrase, choice, math, last_number, whole.");
  sub->callback([&] { action = [&] { return run_score(command); }; });
}

void add_compare(CLI::App& app, CompareCommand& command, std::function<int()>& action) {
  CLI::App* sub =
      app.add_subcommand("compare", "Table of the last evaluations of runs, with the first run's zero-shot one");
  sub->add_option("runs", command.runs, "Output folders of runs, each as FOLDER or NAME=FOLDER")
      ->type_name("RUN")
      ->required();
  sub->footer("  thinktune compare grpo=runs/grpo guided=runs/quickstart");
  sub->callback([&] { action = [&] { return run_compare(command); }; });
}

void add_bench(CLI::App& app, BenchCommand& command, std::function<int()>& action) {
  CLI::App* sub = app.add_subcommand(
      "bench", "How long the parts of a training step take, beside the machine's matrix products; writes nothing");
  sub->add_option("--config", command.config, "Settings of the run")->type_name("FILE")->required();
  sub->add_option("--set", command.set, "Change one setting (may be given several times)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_option("--steps", command.steps, "Steps that are measured")
      ->type_name("N")
      ->check(whole_number_from(1))
      ->capture_default_str();
  sub->add_option("--warm-up", command.warm_up, "Steps before them")
      ->type_name("N")
      ->check(whole_number_from(0))
      ->capture_default_str();
  sub->add_flag("--ignore-eos", command.ignore_eos,
                "Every answer takes rollout.max_new_tokens: equal work for whatever is compared");
  sub->add_flag("--json", command.json, "One JSON object in place of the table");
  add_device(sub, command.device);
  sub->footer("  thinktune bench --config configs/bench_grpo_step.json --set model=MODEL.gguf");
  sub->callback([&] { action = [&] { return run_bench(command); }; });
}

int run(int argc, char** argv) {
  CLI::App app{
      "thinktune: RL fine-tuning of language models with a teacher of the same size (ThinkTuning, GRPO)\n\n"
      "  thinktune train --config configs/quickstart.json --set model=MODEL.gguf\n"
      "  thinktune eval --config configs/quickstart.json --model runs/quickstart/checkpoints/step-30\n",
      "thinktune"};
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text(), "Print the versions of program, LibTorch and kernels and exit");
  app.footer(
      "thinktune COMMAND --help explains a command.\n"
      "Exit code: 0 done; 2 something that you can mend (a setting, a file that is not there, a full disk);\n"
      "3 the content of a file: a model, data or a checkpoint is damaged or not what it should be;\n"
      "4 the machine: out of memory, a GPU, another rank, numbers that are not finite; 5 a bug in thinktune;\n"
      "130, 143 and 129 stopped by SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed).\n"
      "THINKTUNE_LOG=debug, info, warning, error or off in the environment: how much is said on the way.");
  std::function<int()> action;
  TrainCommand train;
  EvalCommand eval;
  EvalCompareCommand eval_compare;
  GenerateCommand generate;
  CompareCommand compare;
  ScoreCommand score;
  ConvertCommand convert;
  InspectCommand inspect;
  DoctorCommand doctor;
  BenchCommand bench;
  add_train(app, train, action);
  add_eval(app, eval, eval_compare, action);
  add_generate(app, generate, action);
  add_convert(app, convert, action);
  add_inspect(app, inspect, action);
  add_doctor(app, doctor, action);
  add_compare(app, compare, action);
  add_bench(app, bench, action);
  add_score(app, score, action);
  app.add_subcommand("docs", "Print the documentation of every setting (configs/README.md)")->callback([&] {
    action = run_docs;
  });
  int code = 0;
  try {
    app.parse(argc, argv);
    core::set_up_logging();
    code = action();
  } catch (const CLI::Success& request) {  // --help, --version
    code = app.exit(request);
  } catch (const CLI::ParseError& refusal) {
    throw usage_error(app, refusal, {argv + 1, argv + argc});
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    throw core::user_error(fmt::format("cannot write the result to the standard output: {}", std::strerror(errno)));
  return code;
}

}  // namespace
}  // namespace thinktune::cli

int main(int argc, char** argv) {
  thinktune::cli::wait_shortly_for_threads(argv);
  thinktune::core::keep_freed_memory();
  // A file size limit (ulimit -f) is to be a failed write with a message, not a killed process.
  std::signal(SIGXFSZ, SIG_IGN);
  // And a model's file that becomes shorter while it is read.
  thinktune::core::name_mapped_files_that_fail();
  try {
    return thinktune::cli::run(argc, argv);
  } catch (const std::exception& exception) {
    const thinktune::core::Error error = thinktune::train::to_error(exception);
    std::fprintf(stderr, "error: %s\n", error.what());
    return thinktune::core::exit_code(error.kind());
  }
}
