// eval: a model on benchmarks, or as a training run measures itself.
#include <ATen/Parallel.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command_line.h"
#include "cli/loaded_model.h"
#include "thinktune/cli/commands.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"
#include "thinktune/core/signals.h"
#include "thinktune/data/prompts.h"
#include "thinktune/eval/benchmark.h"
#include "thinktune/eval/compare.h"
#include "thinktune/eval/evaluator.h"
#include "thinktune/infer/within_memory.h"
#include "thinktune/ops/device.h"
#include "thinktune/report/table.h"
#include "thinktune/train/errors.h"

namespace thinktune::cli {
namespace fs = std::filesystem;
namespace {

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string percent(const eval::Interval& i) { return fmt::format("{:.1f} – {:.1f}", 100 * i.low, 100 * i.high); }

// ---- By a training config ------------------------------------------------------------------------------------------

void write_answers(core::AtomicFile& file, const eval::EvalResult& result) {
  for (const rollout::Group& group : result.groups)
    for (size_t s = 0; s < group.rollouts.size(); ++s) {
      const rollout::Rollout& response = group.rollouts[s];
      const nlohmann::ordered_json row = {{"id", group.prompt.id},
                                          {"sample", s},
                                          {"gold", group.prompt.gold},
                                          {"output", response.text},
                                          {"right", response.judgement.success},
                                          {"extracted", response.judgement.extracted},
                                          {"reason", response.judgement.reason},
                                          {"tokens", response.ids.size()}};
      file.write(row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    }
  file.commit();
}

std::vector<data::Problem> problems_of(const EvalCommand& command, const train::TrainOptions& options) {
  if (!command.data.empty()) return data::read_jsonl(command.data);
  data::validate(options.data);
  std::vector<data::Problem> problems = data::load_problems(options.data).heldout;
  if (problems.empty()) throw core::user_error("the config has no held-out problems", "give --data FILE.jsonl");
  return problems;
}

std::vector<rollout::Prompt> make_prompts(const std::vector<data::Problem>& problems,
                                          const train::TrainOptions& options, const Loaded& loaded, size_t& too_long) {
  const data::PromptBuilder builder(options.prompt, *loaded.vocabulary.tokenizer, *loaded.vocabulary.chat);
  std::vector<rollout::Prompt> prompts;
  for (const data::Problem& problem : problems) {
    if (options.eval.num_problems > 0 && std::ssize(prompts) >= options.eval.num_problems) break;
    rollout::Prompt prompt = builder.build(problem, prompts.size());
    if (builder.is_too_long(prompt))
      ++too_long;
    else
      prompts.push_back(std::move(prompt));
  }
  if (prompts.empty())
    throw core::user_error(
        fmt::format("every prompt is longer than prompt.max_prompt_tokens, {}", options.prompt.max_prompt_tokens),
        "raise it: --set prompt.max_prompt_tokens=…");
  return prompts;
}

int run_by_config(const EvalCommand& command) {
  const train::TrainOptions options = read_train_options(command.config, command.set);
  if (command.data.empty() && command.config.empty())
    throw core::user_error("there is nothing to evaluate on",
                           "give --suite with --data-dir, --data FILE.jsonl, or --config with held-out problems");
  data::validate(options.prompt);
  reward::validate(options.reward);
  eval::validate(options.eval);
  infer::validate(options.engine);
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  const std::vector<data::Problem> problems = problems_of(command, options);
  std::optional<core::AtomicFile> output;  // opened now: a mistake in its name is not to be found after an hour of work
  if (!command.output.empty()) output.emplace(command.output);
  const std::string& chat_template = command.chat_template.empty() ? options.chat_template : command.chat_template;
  const auto loaded =
      load_model(command.model, {command.precision, command.device.empty() ? options.device : command.device},
                 options.engine, {.chat_template = chat_template}, options.long_context);
  size_t too_long = 0;
  const std::vector<rollout::Prompt> prompts = make_prompts(problems, options, *loaded, too_long);
  const auto reward = reward::make_reward(options.reward);
  const eval::Drawing drawing = {
      .samples = options.eval.samples,
      .max_new_tokens = options.eval.max_new_tokens > 0 ? options.eval.max_new_tokens : options.rollout.max_new_tokens,
      .sampling = options.eval.sampling,
      .key = {.seed = static_cast<uint64_t>(options.seed), .stream = core::Stream::Evaluation}};
  const eval::EvalResult result = infer::within_memory(*loaded->engine, infer::warn_of_fewer, [&] {
    return eval::evaluate(*loaded->engine, *loaded->vocabulary.tokenizer, prompts, *reward, drawing);
  });
  if (output) write_answers(*output, result);
  std::printf(
      "%s%zu problems, %zu left out for their length; %.0f %% ended by themselves, in %.0f %% no answer could be "
      "read\n",
      report::format_table({{command.model, result.accuracy, result.interval.low, result.interval.high,
                             result.mean_length, result.seconds}})
          .c_str(),
      prompts.size(), too_long, 100 * result.ended_share, 100 * result.unparsed_share);
  return 0;
}

// ---- By a protocol -------------------------------------------------------------------------------------------------

struct Benchmark {
  eval::Suite suite;
  eval::ResolvedTask resolved;
};

// Everything that can be refused before the model is loaded.
std::vector<Benchmark> plan(const EvalCommand& command) {
  const eval::Protocol& protocol =
      eval::find_protocol(command.protocol.empty() ? "thinktuning" : std::string_view(command.protocol));
  if (command.suites.empty() && command.data.empty())
    throw core::user_error("there is nothing to evaluate on", "give --suite with --data-dir, or --data FILE.jsonl");
  if (!command.suites.empty() && !command.data.empty())
    throw core::user_error("--suite and --data are both there", "give the suites and your own file in two calls");
  if (!command.suites.empty() && command.data_dir.empty())
    throw core::user_error("--suite needs --data-dir", "the folder with your copies of the data sets");
  std::vector<const eval::SuiteInfo*> infos;
  for (const std::string& name : command.suites) {
    infos.push_back(&eval::find_suite(name));
    for (size_t i = 0; i + 1 < infos.size(); ++i)
      if (infos[i] == infos.back()) throw core::user_error(fmt::format("--suite names {} twice", name));
  }
  std::vector<Benchmark> benchmarks;
  for (const eval::SuiteInfo* info : infos)  // all protocols before all files
    benchmarks.push_back({{}, eval::resolve_task(protocol, std::string(info->name), info->kind, command.overrides)});
  for (size_t i = 0; i < infos.size(); ++i) benchmarks[i].suite = eval::load_suite(*infos[i], command.data_dir);
  if (infos.empty()) {
    eval::Suite suite = eval::load_own_suite(command.data);
    eval::ResolvedTask resolved = eval::resolve_task(protocol, suite.name, suite.kind, command.overrides);
    benchmarks.push_back({std::move(suite), std::move(resolved)});
  }
  for (const Benchmark& benchmark : benchmarks) eval::load_examples(benchmark.resolved.task, command.data_dir);
  return benchmarks;
}

std::string measures_cell(const eval::BenchmarkMetrics& metrics) {
  std::string cell;
  for (const auto& [name, estimate] : metrics.measures)
    cell += fmt::format("{}{} {}", cell.empty() ? "" : ", ", name, percent(estimate.mean));
  return cell;
}

void print_results(const std::vector<eval::BenchmarkResult>& results) {
  std::vector<std::vector<std::string>> cells = {{"suite", "problems", "pass@1", "95 % interval", "s.e.", "maj@n",
                                                  "by measure", "tokens", "cut", "unparsed", "too long", "time"}};
  for (const eval::BenchmarkResult& r : results) {
    const eval::BenchmarkMetrics& m = r.metrics;
    cells.push_back({r.suite, fmt::format("{} × {}", m.num_problems, m.num_samples), percent(m.pass_at_1.mean),
                     percent(m.pass_at_1.interval), fmt::format("{:.1f}", 100 * m.pass_at_1.standard_error),
                     m.has_majority ? percent(m.majority.mean) : "-", measures_cell(m),
                     fmt::format("{:.1f}", m.mean_tokens), percent(m.truncated_share), percent(m.unparsed_share),
                     fmt::format("{}", m.num_too_long), core::human_duration(r.seconds)});
  }
  std::string text = report::align_columns(cells);
  for (const eval::BenchmarkResult& r : results) {
    const eval::Task& task = r.resolved.task;
    text += fmt::format("{}: protocol {}, decided by {}", r.suite, r.resolved.protocol, task.decides);
    if (task.form != eval::PromptForm::Score)
      text += fmt::format(", temperature {}, top_p {}, at most {} new tokens", task.temperature, task.top_p,
                          task.max_new_tokens);
    if (task.num_examples > 0)
      text += fmt::format(", the first {} worked examples of {}", task.num_examples, task.examples_file);
    for (const auto& [k, value] : r.metrics.pass_at_k) text += fmt::format(", pass@{} {}", k, percent(value));
    for (const auto& [k, value] : r.metrics.majority_at_k) text += fmt::format(", maj@{} {}", k, percent(value));
    text += '\n';
    if (!r.resolved.changed.empty())
      text += fmt::format("  not the protocol's own: {}\n", fmt::join(r.resolved.changed, ", "));
    if (!task.differs.empty()) text += fmt::format("  differs from what is published: {}\n", task.differs);
  }
  std::printf("%s", text.c_str());
}

// Once answers are drawn, which --out keeps.
std::string what_was_saved(const EvalCommand& command) {
  return command.out.empty() ? "nothing was saved: there is no --out" : "saved: the answers so far, in " + command.out;
}

std::string way_on(const EvalCommand& command) {
  return fmt::format("to {}: {}", command.out.empty() ? "begin again" : "go on", quoted(own_command_line()));
}

// After an error among the answers: where, what was saved, how to go on. One that comes before them, of settings or of
// the folder, says so itself.
core::Error at_stop(const std::exception& exception, const EvalCommand& command, const std::string& suite) {
  const bool memory = ops::is_out_of_memory(exception);
  const core::Error error = train::to_error(exception);
  if (error.kind() == core::ErrorKind::User) return error;
  std::string advice = memory ? "lower --kv-cache-mib; else a smaller model or more memory is needed" : error.hint();
  if (!advice.empty()) advice += "\n  ";
  advice += fmt::format("where: {}\n  {}\n  when that is mended, {}", suite, what_was_saved(command), way_on(command));
  return {error.kind(), error.message(), advice};
}

int run_by_protocol(const EvalCommand& command) {
  const std::vector<Benchmark> benchmarks = plan(command);
  bool needs_chat = false;
  for (const Benchmark& b : benchmarks) needs_chat |= b.resolved.task.form == eval::PromptForm::Chat;
  eval::BenchmarkOptions options;
  options.limit = command.limit.value_or(0);
  options.seed = static_cast<uint64_t>(command.seed.value_or(0));
  options.slots = command.batch.value_or(options.slots);
  options.data_dir = command.data_dir;
  infer::EngineOptions engine;
  engine.max_sequences = options.slots;
  engine.kv_cache_mib = command.kv_cache_mib.value_or(engine.kv_cache_mib);
  const auto loaded = load_model(command.model, {command.precision, command.device.empty() ? "auto" : command.device},
                                 engine, {.chat_template = command.chat_template, .needs_chat = needs_chat});
  const eval::Subject subject = {.engine = *loaded->engine,
                                 .tokenizer = *loaded->vocabulary.tokenizer,
                                 .chat = loaded->vocabulary.chat.get(),
                                 .config = loaded->config,
                                 .path = command.model,
                                 .precision = command.precision,
                                 .program = "thinktune " THINKTUNE_VERSION};
  std::vector<eval::BenchmarkResult> results;
  try {
    for (const Benchmark& benchmark : benchmarks) {
      if (!command.out.empty()) options.folder = fs::path(command.out) / benchmark.suite.name;
      core::set_saved(what_was_saved(command));
      results.push_back(eval::run_benchmark(subject, benchmark.suite, benchmark.resolved, options));
    }
  } catch (const std::exception& exception) {
    throw at_stop(exception, command, benchmarks[results.size()].suite.name);
  }
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks) names.push_back(benchmark.suite.name);
  if (!command.out.empty()) eval::write_overview(command.out, names);
  print_results(results);
  return 0;
}

// An option that the chosen way has no use for is a mistake, not a wish.
void refuse_options_of_the_other_way(const EvalCommand& c, bool by_protocol) {
  const auto refuse = [](bool given, const char* option, const char* hint) {
    if (given) throw core::user_error(fmt::format("{} has no meaning here", option), hint);
  };
  if (by_protocol) {
    constexpr const char* kHint =
        "--config measures as a training run does, --suite and --protocol by a protocol: two calls";
    refuse(!c.config.empty(), "--config", kHint);
    refuse(!c.set.empty(), "--set", kHint);
    refuse(!c.output.empty(), "--output", "every answer is in samples.jsonl of the folder that --out names");
    return;
  }
  refuse(c.overrides.samples.has_value(), "--samples", "with --config or --set: --set eval.samples=…");
  refuse(c.overrides.temperature.has_value(), "--temperature",
         "with --config or --set: --set eval.sampling.temperature=…");
  refuse(c.overrides.top_p.has_value(), "--top-p", "with --config or --set: --set eval.sampling.top_p=…");
  refuse(c.overrides.max_new_tokens.has_value(), "--max-new-tokens",
         "with --config or --set: --set eval.max_new_tokens=…");
  refuse(c.limit.has_value(), "--limit", "with --config or --set: --set eval.num_problems=…");
  refuse(c.seed.has_value(), "--seed", "with --config or --set: --set seed=…");
  refuse(c.batch.has_value(), "--batch", "with --config or --set: --set engine.max_sequences=…");
  refuse(c.kv_cache_mib.has_value(), "--kv-cache-mib", "with --config or --set: --set engine.kv_cache_mib=…");
  refuse(!c.data_dir.empty(), "--data-dir", "it is where --suite finds its data");
  refuse(!c.out.empty(), "--out", "it goes by a protocol; with --config or --set: --output FILE.jsonl");
}

void print_ids(const char* what, const std::vector<std::string>& ids) {
  std::printf("  %s (%zu)%s\n", what, ids.size(), ids.empty() ? "" : ":");
  for (const std::string& id : ids) std::printf("    %s\n", id.c_str());
}

}  // namespace

int run_eval(const EvalCommand& command) {
  const bool has_config = !command.config.empty() || !command.set.empty() || !command.output.empty();
  const bool by_protocol = !command.suites.empty() || !command.protocol.empty() || !has_config;
  refuse_options_of_the_other_way(command, by_protocol);
  core::set_saved("nothing was saved by this call");
  core::set_way_on(way_on(command));
  const core::EarlySignals signals;
  return by_protocol ? run_by_protocol(command) : run_by_config(command);
}

int run_eval_compare(const EvalCompareCommand& command) {
  const auto results = eval::compare_evaluations(command.a, command.b, static_cast<uint64_t>(command.seed));
  std::vector<std::vector<std::string>> cells = {
      {"suite", "problems", "A", "B", "B - A", "95 % interval", "p", "won", "lost"}};
  for (const eval::SuiteComparison& r : results)
    cells.push_back({r.suite, fmt::format("{}", r.num_problems), percent(r.a), percent(r.b),
                     fmt::format("{:+.1f}", 100 * r.paired.difference),
                     fmt::format("{:+.1f} – {:+.1f}", 100 * r.paired.interval.low, 100 * r.paired.interval.high),
                     fmt::format("{:.4f}", r.paired.p_value), fmt::format("{}", r.won.size()),
                     fmt::format("{}", r.lost.size())});
  std::printf("A: %s\nB: %s\n%s", command.a.c_str(), command.b.c_str(), report::align_columns(cells).c_str());
  std::printf("Paired bootstrap by problem, %ld resamples, seed %ld; points of pass@1; p two-sided.\n",
              static_cast<long>(eval::kResamples), static_cast<long>(command.seed));
  for (const eval::SuiteComparison& r : results) {
    std::printf("%s (%s): A is %s, B is %s\n", r.suite.c_str(), r.protocol.c_str(), r.a_model.c_str(),
                r.b_model.c_str());
    for (const std::string& note : r.notes) std::printf("  note: %s\n", note.c_str());
    print_ids("won", r.won);
    print_ids("lost", r.lost);
  }
  return 0;
}

}  // namespace thinktune::cli
