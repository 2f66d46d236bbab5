#include "text/chat_template_probe.h"

#include <optional>

#include "thinktune/core/error.h"

namespace thinktune::text {
namespace {

// Words that no template has, writes in another case or takes for a tag.
const std::string kSystem = "quiet system probe", kUser = "first user probe", kAssistant = "assistant probe",
                  kNextUser = "second user probe";

nlohmann::ordered_json message(const char* role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

std::optional<std::string> rendered(const ChatTemplate& chat, const nlohmann::ordered_json& messages,
                                    bool add_generation_prompt = false) {
  RenderOptions options;
  options.add_generation_prompt = add_generation_prompt;
  options.now = std::chrono::local_seconds(std::chrono::seconds(1'735'689'600));  // any: always the same
  options.limits.steps = 100'000;
  try {
    return chat.render_text(messages, options);
  } catch (const core::Error&) {
    return std::nullopt;
  }
}

// Behind the assistant's words, up to `stop` if that is given and there.
std::string behind_assistant(const std::optional<std::string>& text, const std::string& stop = "") {
  const size_t at = text ? text->rfind(kAssistant) : std::string::npos;
  if (at == std::string::npos) return "";
  const size_t begin = at + kAssistant.size();
  const size_t end = stop.empty() ? std::string::npos : text->find(stop, begin);
  return text->substr(begin, end == std::string::npos ? end : end - begin);
}

}  // namespace

std::string probe_after_assistant_turn(const ChatTemplate& chat) {
  nlohmann::ordered_json turns = {message("user", kUser), message("assistant", kAssistant)};
  std::string behind = behind_assistant(rendered(chat, turns));
  // Some leave the last turn open unless a prompt is asked for, or always.
  if (behind.empty()) behind = behind_assistant(rendered(chat, turns, true));
  if (behind.empty()) {
    turns.push_back(message("user", kNextUser));
    behind = behind_assistant(rendered(chat, turns), kNextUser);
  }
  return behind;
}

bool probe_system_turn(const ChatTemplate& chat) {
  const auto text = rendered(chat, {message("system", kSystem), message("user", kUser)});
  return text && text->find(kSystem) != std::string::npos;
}

}  // namespace thinktune::text
