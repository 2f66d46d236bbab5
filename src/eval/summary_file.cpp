#include "eval/summary_file.h"

#include <nlohmann/json.hpp>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::eval {
using nlohmann::ordered_json;

namespace {

std::string shown(const ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

ordered_json read_object(const std::filesystem::path& file, std::string_view what, const std::string& hint) {
  const std::string text = core::read_file(file, what);
  core::check_json_depth(text, file.string());
  ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw core::data_error(fmt::format("{}: not a JSON object", file.string()), hint);
  return json;
}

std::string first_difference(const ordered_json& a, const ordered_json& b, const std::string& prefix) {
  if (!a.is_object() || !b.is_object())
    return a == b ? "" : fmt::format("{} was {} and is now {}", prefix, shown(a), shown(b));
  const auto dotted = [&](const std::string& key) { return prefix.empty() ? key : prefix + "." + key; };
  for (const auto& [key, value] : a.items()) {
    const std::string difference = first_difference(value, b.contains(key) ? b.at(key) : ordered_json(), dotted(key));
    if (!difference.empty()) return difference;
  }
  for (const auto& [key, value] : b.items())
    if (!a.contains(key)) return fmt::format("{} was not there and is now {}", dotted(key), shown(value));
  return "";
}

}  // namespace thinktune::eval
