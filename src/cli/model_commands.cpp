// eval and generate: a model without training.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "thinktune/cli/commands.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/data/prompts.h"
#include "thinktune/eval/evaluator.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/report/table.h"

namespace thinktune::cli {
namespace {

// A model that answers.
struct Loaded {
  model::ModelConfig config;
  model::Vocabulary vocabulary;
  std::unique_ptr<model::Decoder> decoder;
  model::Weights weights;
  std::unique_ptr<infer::Engine> engine;
};

std::unique_ptr<Loaded> load(const std::string& path, const std::string& precision, const infer::EngineOptions& options,
                             const model::VocabularyRequest& request, bool long_context = false) {
  auto loaded = std::make_unique<Loaded>();
  const model::Pretrained pretrained(path);
  loaded->config = pretrained.config();
  loaded->config.long_context = long_context;
  loaded->vocabulary = pretrained.load_vocabulary(request);
  model::add_end_of_turn(loaded->config, loaded->vocabulary);
  loaded->decoder = std::make_unique<model::Decoder>(loaded->config);
  loaded->weights = pretrained.load_weights(precision == "f32" ? at::kFloat : at::kBFloat16);
  loaded->engine =
      std::make_unique<infer::Engine>(*loaded->decoder, loaded->weights, *loaded->vocabulary.tokenizer, options);
  return loaded;
}

void write_answers(core::AtomicFile& file, const eval::EvalResult& result) {
  for (const rollout::Group& group : result.groups) {
    const rollout::Rollout& response = group.rollouts[0];
    const nlohmann::ordered_json row = {{"id", group.prompt.id},
                                        {"gold", group.prompt.gold},
                                        {"output", response.text},
                                        {"right", response.judgement.reward > 0},
                                        {"extracted", response.judgement.extracted},
                                        {"reason", response.judgement.reason},
                                        {"tokens", response.ids.size()}};
    file.write(row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  file.commit();
}

}  // namespace

int run_eval(const EvalCommand& command) {
  const train::TrainOptions options = read_train_options(command.config, command.set);
  if (command.data.empty() && command.config.empty())
    throw core::user_error("there is nothing to evaluate on",
                           "give --data FILE.jsonl, or --config with held-out problems");
  data::validate(options.prompt);
  reward::validate(options.reward);
  eval::validate(options.eval);
  infer::validate(options.engine);
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  std::vector<data::Problem> problems;
  if (!command.data.empty()) {
    problems = data::read_jsonl(command.data);
  } else {
    data::validate(options.data);
    problems = data::load_problems(options.data).heldout;
  }
  if (problems.empty()) throw core::user_error("the config has no held-out problems", "give --data FILE.jsonl");
  std::optional<core::AtomicFile> output;  // opened now: a mistake in its name is not to be found after an hour of work
  if (!command.output.empty()) output.emplace(command.output);
  const std::string& chat_template = command.chat_template.empty() ? options.chat_template : command.chat_template;
  const auto loaded =
      load(command.model, command.precision, options.engine, {.chat_template = chat_template}, options.long_context);
  const data::PromptBuilder builder(options.prompt, *loaded->vocabulary.tokenizer, *loaded->vocabulary.chat);
  std::vector<rollout::Prompt> prompts;
  int64_t too_long = 0;
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
  const int64_t limit = options.eval.max_new_tokens > 0 ? options.eval.max_new_tokens : options.rollout.max_new_tokens;
  const auto reward = reward::make_reward(options.reward);
  const core::RandomKey key = {.seed = static_cast<uint64_t>(options.seed), .stream = core::Stream::Evaluation};
  const eval::EvalResult result = eval::evaluate(*loaded->engine, *loaded->vocabulary.tokenizer, prompts, *reward,
                                                 limit, options.eval.sampling, key);
  if (output) write_answers(*output, result);
  std::printf(
      "%s%zu problems, %ld left out for their length; %.0f %% ended by themselves, in %.0f %% no answer could be "
      "read\n",
      report::format_table({{command.model, result.accuracy, result.interval.low, result.interval.high,
                             result.mean_length, result.seconds}})
          .c_str(),
      prompts.size(), static_cast<long>(too_long), 100 * result.ended_share, 100 * result.unparsed_share);
  return 0;
}

int run_generate(const GenerateCommand& command) {
  const auto loaded =
      load(command.model, command.precision, {}, {.chat_template = command.chat_template, .needs_chat = !command.raw});
  const text::Tokenizer& tokenizer = *loaded->vocabulary.tokenizer;
  infer::Request request{.max_new_tokens = command.max_new_tokens};
  if (command.raw) {
    request.prompt_ids = tokenizer.add_special_tokens(tokenizer.encode(command.prompt, text::Special::Parse));
  } else {
    std::vector<core::ChatMessage> messages;
    if (!command.system.empty()) messages.push_back({"system", command.system});
    messages.push_back({"user", command.prompt});
    const text::ChatTemplate& chat = *loaded->vocabulary.chat;
    request.prompt_ids = tokenizer.encode(chat.render(text::acceptable_messages(chat, messages), true));
  }
  if (request.prompt_ids.empty()) throw core::user_error("the prompt is empty");
  const auto results = loaded->engine->generate({request}, {.temperature = command.temperature},
                                                {.seed = static_cast<uint64_t>(command.seed)});
  const infer::Generation& generation = results[0][0];
  if (command.ids) {
    for (const core::TokenId id : generation.ids) std::printf("%d ", id);
    std::printf("\n");
  } else {
    std::printf("%s\n", tokenizer.decode(generation.ids, /*skip_special=*/true).c_str());
  }
  return 0;
}

}  // namespace thinktune::cli
