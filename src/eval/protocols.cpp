#include "thinktune/eval/protocols.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "thinktune/core/error.h"

namespace thinktune::eval {
namespace {

using Values = std::vector<std::pair<std::string_view, std::string>>;

// Each {name} of `values` in the text is replaced, in one pass; other braces stay.
std::string fill(std::string_view text, const Values& values) {
  std::string filled;
  while (!text.empty()) {
    const auto value = std::find_if(values.begin(), values.end(), [&](const auto& v) {
      return text.size() > v.first.size() + 1 && text[0] == '{' && text.substr(1, v.first.size()) == v.first &&
             text[v.first.size() + 1] == '}';
    });
    if (value == values.end()) {
      filled += text[0];
      text.remove_prefix(1);
    } else {
      filled += value->second;
      text.remove_prefix(value->first.size() + 2);
    }
  }
  return filled;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
}

// [...] within a line
void remove_brackets(std::string& text) {
  for (size_t open = text.find('['); open != std::string::npos; open = text.find('[', open)) {
    const size_t close = text.find_first_of("]\n", open);
    if (close == std::string::npos) return;
    if (text[close] == '\n')
      open = close;
    else
      text.erase(open, close + 1 - open);
  }
}

std::string tidy(std::string text) {
  constexpr const char* kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return "";
  text = text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
  replace_all(text, " [title]", ". ");
  remove_brackets(text);
  // Not until there is none left: the published replacement goes over the text once.
  replace_all(text, "  ", " ");
  return text;
}

char letter_of_index(size_t index) { return static_cast<char>('A' + index); }

template <class T>
void override_with(const std::optional<T>& value, T& setting, const char* name, std::vector<std::string>& changed) {
  if (!value || *value == setting) return;
  setting = *value;
  changed.emplace_back(name);
}

std::vector<std::string> names_of(const std::vector<Finder>& finders) {
  std::vector<std::string> names;
  for (const Finder finder : finders) names.emplace_back(core::name_of(kFinderNames, finder));
  return names;
}

}  // namespace

std::vector<std::string> Task::measures() const {
  if (form == PromptForm::Score) return {"acc", "acc_norm", "acc_bytes"};
  return {"strict", "lenient"};
}

std::string Protocol::full_name() const { return fmt::format("{}/{}", name, version); }

ResolvedTask resolve_task(const Protocol& protocol, const std::string& suite, SuiteKind kind,
                          const Overrides& overrides) {
  const char* any = kind == SuiteKind::Math ? kAnyMath : kAnyChoice;
  const Task* found = nullptr;
  std::vector<std::string> has;
  for (const Task& task : protocol.tasks) {
    has.push_back(task.suite);
    if (task.suite == suite || (task.suite == any && found == nullptr)) found = &task;
  }
  if (found == nullptr)
    throw core::user_error(fmt::format("the protocol {} does not say how to ask {}", protocol.full_name(), suite),
                           fmt::format("it has: {}; thinktuning has every suite", fmt::join(has, ", ")));
  ResolvedTask resolved{.protocol = protocol.full_name(), .task = *found, .changed = {}};
  Task& task = resolved.task;
  task.suite = suite;
  override_with(overrides.samples, task.samples, "samples", resolved.changed);
  override_with(overrides.max_new_tokens, task.max_new_tokens, "max_new_tokens", resolved.changed);
  override_with(overrides.temperature, task.temperature, "temperature", resolved.changed);
  override_with(overrides.top_p, task.top_p, "top_p", resolved.changed);
  if (task.form == PromptForm::Score && !resolved.changed.empty())
    throw core::user_error(fmt::format("{} scores the choices of {} and draws nothing: {} cannot be changed",
                                       protocol.full_name(), suite, fmt::join(resolved.changed, ", ")),
                           "evaluate this suite in a call of its own");
  if (task.temperature == 0 && task.samples > 1)
    throw core::user_error(fmt::format("{} samples of {} at temperature 0 would be {} times the same text",
                                       task.samples, suite, task.samples),
                           overrides.samples ? "give a temperature too: --temperature 0.6" : "give --samples 1 too");
  return resolved;
}

std::vector<data::Example> load_examples(const Task& task, const std::filesystem::path& data_dir) {
  if (task.num_examples == 0) return {};
  const std::filesystem::path file = data_dir / task.examples_file;
  if (!std::filesystem::exists(file))
    throw core::user_error(fmt::format("{} is asked with {} worked examples, and there is no {}", task.suite,
                                       task.num_examples, file.string()),
                           fmt::format("put it there: {}", task.examples_source));
  std::vector<data::Example> examples = data::read_examples(file.string());
  if (std::ssize(examples) < task.num_examples)
    throw core::user_error(
        fmt::format("{} has {} worked examples, {} are asked with", file.string(), examples.size(), task.num_examples),
        task.examples_source);
  examples.resize(static_cast<size_t>(task.num_examples));
  return examples;
}

std::string render_choice(const Task& task, const data::Problem& problem, size_t index) {
  const std::string& text = problem.choices.at(index);
  return fill(task.choice,
              {{"letter", std::string(1, letter_of_index(index))}, {"text", task.tidy_choices ? tidy(text) : text}});
}

std::string render_question(const Task& task, const data::Problem& problem,
                            const std::vector<data::Example>& examples) {
  std::string text, lines, letters;
  for (const data::Example& example : examples) {
    text += fill(task.question, {{"problem", example.problem}});
    text += fill(task.example_answer, {{"solution", example.solution}});
    text += "\n\n";
  }
  for (size_t i = 0; i < problem.choices.size(); ++i) {
    letters += letter_of_index(i);
    lines += (i > 0 ? "\n" : "") + render_choice(task, problem, i);
  }
  return text + fill(task.question, {{"problem", problem.problem}, {"choices", lines}, {"letters", letters}});
}

nlohmann::ordered_json to_json(const ResolvedTask& resolved) {
  const Task& t = resolved.task;
  nlohmann::ordered_json json = {{"protocol", resolved.protocol}, {"changed", resolved.changed}};
  json["prompt"] = {{"form", core::name_of(kPromptFormNames, t.form)}, {"question", t.question}};
  if (!t.system.empty()) json["prompt"]["system"] = t.system;
  if (!t.choice.empty()) json["prompt"]["choice"] = t.choice;
  if (t.tidy_choices) json["prompt"]["tidy_choices"] = true;
  json["examples"] = {{"count", t.num_examples}};
  if (t.num_examples > 0) {
    json["examples"]["answer"] = t.example_answer;
    json["examples"]["file"] = t.examples_file;
    json["examples"]["which"] = fmt::format("the first {} of the file", t.num_examples);
  }
  if (t.form == PromptForm::Score) {
    json["scoring"] =
        "log-probability of each choice behind the prompt: acc by the sum, acc_norm by the sum over the "
        "number of characters, acc_bytes over that of bytes";
  } else {
    json["sampling"] = {{"temperature", t.temperature}, {"top_p", t.top_p}, {"samples", t.samples}};
    json["max_new_tokens"] = t.max_new_tokens;
    json["stop"] = t.stop;
    json["extraction"] = {{"strict", names_of(t.strict)}, {"lenient", names_of(t.lenient)}};
    json["comparison"] = {{"strict", core::name_of(kComparisonNames, t.compare_strict)},
                          {"lenient", core::name_of(kComparisonNames, t.compare_lenient)}};
    json["needs_end"] = t.needs_end;
  }
  json["metric"] = fmt::format("pass@1 of {}", t.decides);
  if (!t.differs.empty()) json["differs_from_published"] = t.differs;
  return json;
}

}  // namespace thinktune::eval
