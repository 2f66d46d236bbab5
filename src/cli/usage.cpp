#include "cli/usage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/config_names.h"

namespace thinktune::cli {
namespace {

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string likely(std::string_view word, const std::vector<std::string>& names) {
  const auto nearest = nearest_names(word, names);
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", either(nearest));
}

// The first "--word" that the command does not have; empty if there is none.
std::string unknown_option(const std::vector<std::string>& words, const std::vector<std::string>& known) {
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    if (name.size() > 2 && name.starts_with("--") && std::find(known.begin(), known.end(), name) == known.end())
      return name;
  }
  return "";
}

// CLI11's sentence, where it is one for people.
std::string reason(const CLI::ParseError& refusal) {
  const std::string text = refusal.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&refusal) != nullptr) {
    const std::string option = text.substr(0, text.find(':'));
    return text.find("missing") != std::string::npos ? option + " needs a value behind it"
                                                     : option + " is there more than once";
  }
  return text;
}

}  // namespace

core::Error usage_error(const CLI::App& app, const CLI::ParseError& refusal, const std::vector<std::string>& words) {
  const std::vector<std::string> commands = command_names(app);
  const auto first =
      std::find_if(words.begin(), words.end(), [](const std::string& word) { return !word.starts_with("-"); });
  const std::string all =
      fmt::format("the commands are {}; thinktune --help says what they do", fmt::join(commands, ", "));
  const bool is_command = first != words.end() && std::find(commands.begin(), commands.end(), *first) != commands.end();
  if (!is_command) {
    if (const std::string option = unknown_option(words, option_names(app)); !option.empty() && first != words.begin())
      return core::user_error(
          fmt::format("thinktune has no option {}{}", printable(option), likely(option, option_names(app))), all);
    if (first == words.end()) return core::user_error("there is no command", all);
    return core::user_error(fmt::format("{} is not a command{}", printable(*first), likely(*first, commands)), all);
  }
  const CLI::App& command = *app.get_subcommand(*first);
  const std::vector<std::string> options = option_names(command);
  const std::string hint = fmt::format("thinktune {} --help lists its options", *first);
  if (const std::string option = unknown_option({first + 1, words.end()}, options); !option.empty())
    return core::user_error(fmt::format("{} has no option {}{}", *first, printable(option), likely(option, options)),
                            hint);
  return core::user_error(fmt::format("{}: {}", *first, reason(refusal)), hint);
}

CLI::Validator whole_number_from(int64_t least) {
  const auto check = [least](std::string& text) -> std::string {
    int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code == std::errc() && end == text.data() + text.size() && value >= least) return "";
    return fmt::format("{} is not a whole number of at least {}", printable(text), least);
  };
  return CLI::Validator(check, "");
}

CLI::Validator number_from(double least) {
  const auto check = [least](std::string& text) -> std::string {
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code == std::errc() && end == text.data() + text.size() && std::isfinite(value) && value >= least) return "";
    return fmt::format("{} is not a number of at least {}", printable(text), least);
  };
  return CLI::Validator(check, "");
}

}  // namespace thinktune::cli
