#include "reward/command_reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace thinktune::reward {
namespace {

using nlohmann::json;

constexpr size_t kMaxReasonBytes = 500;
constexpr double kLargestReward = 1e9;

std::string shown(const std::string& line) {
  constexpr size_t kLongest = 80;
  const std::string text = json(line.substr(0, kLongest)).dump(-1, ' ', false, json::error_handler_t::replace);
  return line.size() > kLongest ? text + "…" : text;
}

// At most kMaxReasonBytes, and no half character at the end.
std::string beginning(const std::string& text) {
  size_t end = std::min(text.size(), kMaxReasonBytes);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

CommandReply refused(const char* what, const std::string& line) {
  return {.reason = fmt::format("{}: {}", what, shown(line))};
}

}  // namespace

ParsedReply parse_reply(const std::string& line) {
  json reply;
  try {
    reply = json::parse(line);
  } catch (const json::out_of_range&) {
    return {.reply = refused("its reply has a number that is too large", line)};
  } catch (const json::exception&) {
    return {.reply = refused("its reply is no JSON", line)};
  }
  if (!reply.is_object()) return {.reply = refused("its reply is no JSON object", line)};
  const auto number = reply.find("id");
  if (number == reply.end() || !number->is_number_unsigned())
    return {.reply = refused("its reply has no id of a request", line)};
  const uint64_t id = number->get<uint64_t>();
  std::string reason;
  if (const auto text = reply.find("reason"); text != reply.end() && text->is_string())
    reason = beginning(text->get_ref<const std::string&>());
  const auto reward = reply.find("reward");
  if (reward == reply.end()) return {id, refused("its reply has no reward", line)};
  if (reward->is_null()) return {id, {.reason = reason.empty() ? "it gave no reward" : "it gave no reward: " + reason}};
  if (!reward->is_number() || !std::isfinite(reward->get<double>()))
    return {id, refused("its reward is no finite number", line)};
  if (std::abs(reward->get<double>()) > kLargestReward)  // a group's spread would not be finite any more
    return {id, {.reason = fmt::format("its reward is beyond ±{:g}: {}", kLargestReward, shown(line))}};
  return {id, {true, reward->get<double>(), reason}};
}

}  // namespace thinktune::reward
