#include "thinktune/data/prompts.h"

#include "data/jsonl.h"
#include "thinktune/core/error.h"

namespace thinktune::data {
namespace {

constexpr std::string_view kBuiltinArithmetic = "builtin:arithmetic";

// The question with its choices, if it is a multiple choice, a line each: "(A) …".
std::string question_of(const Problem& problem) {
  std::string question = problem.problem;
  for (size_t i = 0; i < problem.choices.size(); ++i)
    question += fmt::format("\n({}) {}", static_cast<char>('A' + i), problem.choices[i]);
  return question;
}

}  // namespace

std::vector<Example> read_examples(const std::string& file) {
  std::vector<Example> examples;
  if (file == kBuiltinArithmetic) {
    for (const Problem& p : arithmetic_examples()) examples.push_back({p.problem, p.solution});
    return examples;
  }
  for_each_line(file, [&](const nlohmann::json& object, const std::string& where, size_t) {
    Example example{text_field(object, "problem", where).value_or(""),
                    text_field(object, "solution", where).value_or("")};
    for (const auto& [name, text] : {std::pair{"problem", &example.problem}, std::pair{"solution", &example.solution}})
      if (text->empty())
        throw core::data_error(fmt::format("{}: an example has no \"{}\"", where, name),
                               "each line of an examples file is {\"problem\": …, \"solution\": …}");
    examples.push_back(std::move(example));
  });
  if (examples.empty()) throw core::data_error(fmt::format("{}: no example in the file", file));
  return examples;
}

void describe(core::Fields& fields, PromptOptions& options) {
  fields.text("system", options.system,
              "text of the system turn; empty: none of ours (the chat template may have its own)");
  fields.text("suffix", options.suffix, "put behind the question of every user turn, examples included");
  fields.text(
      "examples_file", options.examples_file,
      "JSONL of worked examples {\"problem\", \"solution\"}, shown as chat turns before the question; empty: none; "
      "\"builtin:arithmetic\": two that ship with the arithmetic generator, whose number facts (13 + 6 = 19, 3 * 4) "
      "are "
      "in neither of its splits");
  fields.integer("num_examples", options.num_examples, core::at_least(int64_t{0}),
                 "how many of the examples are shown, from the file's beginning; 0: all");
  fields.integer("max_prompt_tokens", options.max_prompt_tokens, core::at_least(int64_t{1}),
                 "longest prompt in tokens; a longer one is left out and counted");
}

void validate(const PromptOptions& options) {
  core::check_ranges(options, "prompt");
  if (options.num_examples > 0 && options.examples_file.empty())
    throw core::user_error(
        fmt::format("prompt.num_examples is {}, but prompt.examples_file is empty", options.num_examples),
        "name a file of examples, or \"builtin:arithmetic\"");
  if (options.examples_file.starts_with("builtin:") && options.examples_file != kBuiltinArithmetic)
    throw core::user_error(fmt::format("prompt.examples_file is \"{}\"; the only built-in examples are \"{}\"",
                                       options.examples_file, kBuiltinArithmetic));
}

PromptBuilder::PromptBuilder(const PromptOptions& options, const text::Tokenizer& tokenizer,
                             const text::ChatTemplate& chat)
    : options_(options), tokenizer_(tokenizer), chat_(chat) {
  validate(options_);
  if (options_.examples_file.empty()) return;
  examples_ = read_examples(options_.examples_file);
  if (options_.num_examples == 0) return;
  const auto wanted = static_cast<size_t>(options_.num_examples);
  if (wanted > examples_.size())
    throw core::user_error(
        fmt::format("prompt.num_examples is {}, but {} has {}", wanted, options_.examples_file, examples_.size()));
  examples_.resize(wanted);
}

rollout::Prompt PromptBuilder::build(const Problem& problem, uint64_t number) const {
  rollout::Prompt prompt{.id = problem.id,
                         .number = number,
                         .messages = problem.messages,
                         .problem = question_of(problem),
                         .gold = problem.answer,
                         .solution = problem.solution};
  if (prompt.messages.empty()) {
    if (!options_.system.empty()) prompt.messages.push_back({"system", options_.system});
    for (const Example& example : examples_) {
      prompt.messages.push_back({"user", example.problem + options_.suffix});
      prompt.messages.push_back({"assistant", example.solution});
    }
    prompt.messages.push_back({"user", prompt.problem + options_.suffix});
  }
  prompt.ids = tokenizer_.encode(chat_.render(text::acceptable_messages(chat_, prompt.messages), true));
  return prompt;
}

bool PromptBuilder::is_too_long(const rollout::Prompt& prompt) const {
  return prompt.ids.size() > static_cast<size_t>(options_.max_prompt_tokens);
}

}  // namespace thinktune::data
