#include <algorithm>
#include <unordered_map>

#include "data/jsonl.h"
#include "thinktune/core/error.h"
#include "thinktune/data/dataset.h"

namespace thinktune::data {
namespace {

using nlohmann::json;

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

rollout::ChatMessage read_message(const json& message, size_t index, const std::string& where) {
  const std::string place = fmt::format("{}: message {}", where, index + 1);
  if (!message.is_object())
    throw core::data_error(fmt::format("{} must be an object, it is {}", place, message.type_name()));
  const auto role = text_field(message, "role", place);
  const auto content = text_field(message, "content", place);
  if (!role || !content) throw core::data_error(fmt::format("{} has no \"{}\"", place, role ? "content" : "role"));
  if (*role != "system" && *role != "user" && *role != "assistant")
    throw core::data_error(fmt::format("{} has the role \"{}\"", place, *role), "roles are system, user and assistant");
  if (*role == "system" && index > 0)
    throw core::data_error(fmt::format("{} is a system turn; only the first turn may be one", place));
  return {*role, *content};
}

std::vector<rollout::ChatMessage> read_messages(const json& messages, const std::string& where) {
  if (!messages.is_array() || messages.empty())
    throw core::data_error(fmt::format("{}: \"messages\" must be a list of at least one turn", where));
  std::vector<rollout::ChatMessage> turns;
  for (const json& message : messages) turns.push_back(read_message(message, turns.size(), where));
  if (turns.back().role != "user")
    throw core::data_error(
        fmt::format("{}: the last turn is the {}'s, it must be the user's", where, turns.back().role),
        "the conversation ends where the policy answers");
  return turns;
}

std::vector<std::string> read_choices(const json& object, const std::string& where) {
  const auto field = object.find("choices");
  if (field == object.end() || field->is_null()) return {};
  const auto is_text = [](const json& choice) { return choice.is_string() && !is_blank(choice.get<std::string>()); };
  if (!field->is_array() || field->size() < 2 || field->size() > 26 ||
      !std::all_of(field->begin(), field->end(), is_text))
    throw core::data_error(fmt::format("{}: \"choices\" must be a list of 2 to 26 texts", where),
                           "the first is A; \"answer\" names the right one by its letter");
  return field->get<std::vector<std::string>>();
}

Problem read_problem(const json& object, const std::string& where) {
  Problem problem;
  problem.id = text_or_number_field(object, "id", where).value_or("");
  const auto question = text_field(object, "problem", where);
  const auto messages = object.find("messages");
  if (messages != object.end() && !messages->is_null()) {
    problem.messages = read_messages(*messages, where);
    problem.problem = problem.messages.back().content;
    if (question && *question != problem.problem)
      throw core::data_error(fmt::format("{}: has \"problem\" and \"messages\", and they differ", where),
                             "give one of them, or the last user turn as the problem");
  } else if (question) {
    problem.problem = *question;
  }
  if (is_blank(problem.problem))
    throw core::data_error(fmt::format("{}: no question", where),
                           "\"problem\" or \"messages\" must be there and not be empty");
  problem.answer = text_or_number_field(object, "answer", where).value_or("");
  if (is_blank(problem.answer))
    throw core::data_error(fmt::format("{}: no answer", where), "\"answer\" must be there and not be empty");
  problem.solution = text_field(object, "solution", where).value_or("");
  problem.choices = read_choices(object, where);
  const auto is_letter = [&](const std::string& answer) {
    return answer.size() == 1 && answer[0] >= 'A' && answer[0] < 'A' + std::ssize(problem.choices);
  };
  if (!problem.choices.empty() && !is_letter(problem.answer))
    throw core::data_error(fmt::format("{}: the answer \"{}\" is none of the letters A to {}", where, problem.answer,
                                       static_cast<char>('A' + std::ssize(problem.choices) - 1)),
                           "with \"choices\", the answer is the letter of the right one; the first is A");
  return problem;
}

}  // namespace

std::vector<Problem> read_jsonl(const std::filesystem::path& file) {
  std::vector<Problem> problems;
  std::unordered_map<std::string, size_t> line_of;  // id → line
  for_each_line(file, [&](const json& object, const std::string& where, size_t number) {
    Problem problem = read_problem(object, where);
    if (problem.id.empty()) problem.id = fmt::format("{}:{}", file.filename().string(), number);
    const auto [first, is_new] = line_of.emplace(problem.id, number);
    if (!is_new)
      throw core::data_error(
          fmt::format("{}: the id \"{}\" is already that of line {}", where, problem.id, first->second),
          "ids must differ: reports and evaluations name problems by them");
    problems.push_back(std::move(problem));
  });
  if (problems.empty())
    throw core::data_error(fmt::format("{}: no problem in the file", file.string()),
                           "each line is one: {\"problem\": …, \"answer\": …}");
  return problems;
}

}  // namespace thinktune::data
