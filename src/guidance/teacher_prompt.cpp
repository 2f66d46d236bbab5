#include "thinktune/guidance/teacher_prompt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "guidance/built_in_prompt.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/guidance/reply.h"

namespace thinktune::guidance {
namespace {

using nlohmann::json;

// A JSON object of the prompt file, read field by field.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw core::data_error(where_ + ": not a JSON object");
  }

  void allow_only(const std::vector<std::string_view>& fields) const {
    for (const auto& [name, unused] : object_.items())
      if (std::find(fields.begin(), fields.end(), name) == fields.end())
        throw core::data_error(fmt::format("{}: unknown field \"{}\"", where_, name),
                               fmt::format("known are {}", fmt::join(fields, ", ")));
  }

  const json& required(const std::string& name) const {
    const auto at = object_.find(name);
    if (at == object_.end()) throw core::data_error(fmt::format("{}: \"{}\" is missing", where_, name));
    return *at;
  }

  std::string required_text(const std::string& name) const { return as_text(name, required(name)); }
  std::string optional_text(const std::string& name) const { return object_.contains(name) ? required_text(name) : ""; }

 private:
  std::string as_text(const std::string& name, const json& value) const {
    if (!value.is_string()) throw core::data_error(fmt::format("{}: \"{}\" is not a text", where_, name));
    const std::string text(stripped(value.get_ref<const std::string&>()));
    if (text.empty()) throw core::data_error(fmt::format("{}: \"{}\" is empty", where_, name));
    return text;
  }

  const json& object_;
  std::string where_;
};

TeacherExample read_example(const json& object, const std::string& where) {
  const ObjectReader reader(object, where);
  reader.allow_only({"question", "response", "answer", "solution", "opinion", "reason", "phrase"});
  TeacherExample example{.question = reader.required_text("question"),
                         .response = reader.required_text("response"),
                         .answer = reader.optional_text("answer"),
                         .solution = reader.optional_text("solution"),
                         .opinion = reader.required_text("opinion"),
                         .reason = reader.required_text("reason"),
                         .phrase = reader.required_text("phrase")};
  // An example that the trainer itself would refuse teaches the teacher to be refused.
  const ParsedReply parsed = parse_reply(format_reply(example.opinion, example.reason, example.phrase), true);
  if (parsed.error == ReplyError::BadOpinion)
    throw core::data_error(fmt::format("{}: \"opinion\" is \"{}\"", where, example.opinion),
                           "it must be correct or incorrect");
  if (parsed.error != ReplyError::None)
    throw core::data_error(
        fmt::format("{}: the reply would be refused as {}", where, core::name_of(kReplyErrorNames, parsed.error)),
        "opinion, reason and phrase must hold none of the reply's tags");
  return example;
}

void require_shown(const TeacherExample& example, TeacherSees sees, const std::string& where) {
  if (sees == TeacherSees::Nothing) return;
  const bool answer = sees == TeacherSees::Answer;
  if (!(answer ? example.answer : example.solution).empty()) return;
  const char* field = answer ? "answer" : "solution";
  throw core::data_error(fmt::format("{}: \"{}\" is missing, and guidance.teacher_sees is {}", where, field, field),
                         fmt::format("give every example its {}, or set teacher_sees to nothing", field));
}

}  // namespace

std::string render_exercise(const Exercise& exercise, const PromptView& view) {
  std::string text =
      fmt::format("Question:\n{}\n\nStudent's response:\n{}", stripped(exercise.question), stripped(exercise.response));
  // What the teacher is to go by stands last: a small model repeats what it has read last (seen with SmolLM2-135M as
  // its own teacher: with the response last, 2 of 46 wrong answers were turned right).
  if (view.teacher_sees == TeacherSees::Answer)
    text += fmt::format("\n\nCorrect answer:\n{}", stripped(exercise.answer));
  if (view.teacher_sees == TeacherSees::Solution)
    text += fmt::format("\n\nWorked solution:\n{}", stripped(exercise.solution));
  if (view.repeat_question) text += fmt::format("\n\nQuestion:\n{}", stripped(exercise.question));
  return text;
}

TeacherPrompt TeacherPrompt::parse(std::string_view text, const std::string& where) {
  core::check_json_depth(text, where);
  json root;
  try {
    root = json::parse(text);
  } catch (const json::parse_error& error) {
    throw core::data_error(fmt::format("{}: not valid JSON at byte {}", where, error.byte));
  } catch (const json::out_of_range&) {
    throw core::data_error(fmt::format("{}: not valid JSON: a number is too large", where));
  }
  const ObjectReader reader(root, where);
  reader.allow_only({"system", "examples"});
  TeacherPrompt prompt;
  prompt.where_ = where;
  prompt.system_ = reader.required_text("system");
  const json& examples = reader.required("examples");
  if (!examples.is_array()) throw core::data_error(where + ": \"examples\" is not a list");
  for (const json& example : examples)
    prompt.examples_.push_back(
        read_example(example, fmt::format("{}: example {}", where, prompt.examples_.size() + 1)));
  return prompt;
}

TeacherPrompt TeacherPrompt::read(const std::filesystem::path& file) {
  return parse(core::read_file(file, "teacher prompt", {.max_bytes = core::kMaxSideFileBytes}), file.string());
}

TeacherPrompt TeacherPrompt::built_in() { return parse(built_in_prompt_json(), "the built-in teacher prompt"); }

TeacherPrompt TeacherPrompt::from(const GuidanceOptions& options) {
  return options.prompt_file.empty() ? built_in() : read(options.prompt_file);
}

std::vector<core::ChatMessage> TeacherPrompt::fixed_messages(const PromptView& view) const {
  std::vector<core::ChatMessage> messages = {{"system", system_}};
  for (size_t i = 0; i < examples_.size(); ++i) {
    const TeacherExample& example = examples_[i];
    require_shown(example, view.teacher_sees, fmt::format("{}: example {}", where_, i + 1));
    messages.push_back(request_message({example.question, example.response, example.answer, example.solution}, view));
    messages.push_back({"assistant", format_reply(example.opinion, example.reason, example.phrase)});
  }
  return messages;
}

std::string TeacherPrompt::checksum() const {
  std::string all;
  const auto add = [&](const std::string& text) { all += fmt::format("{}:{}", text.size(), text); };
  add(system_);
  for (const TeacherExample& e : examples_)
    for (const std::string* text : {&e.question, &e.response, &e.answer, &e.solution, &e.opinion, &e.reason, &e.phrase})
      add(*text);
  return fmt::format("{:016x}", core::xxh3_of(std::as_bytes(std::span(all))));
}

core::ChatMessage TeacherPrompt::request_message(const Exercise& exercise, const PromptView& view) {
  return {"user", render_exercise(exercise, view)};
}

}  // namespace thinktune::guidance
