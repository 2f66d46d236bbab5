#include "weights/strict_json.h"

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "thinktune/core/error.h"
#include "weights/checks.h"

namespace thinktune::weights {

nlohmann::json parse_strict_json(std::string_view text, const std::string& where, int max_depth) {
  using Event = nlohmann::json::parse_event_t;
  // The parser takes a zero byte for the end and ignores what follows it.
  if (text.find('\0') != std::string_view::npos)
    throw core::data_error(fmt::format("{}: malformed JSON (a zero byte)", where));

  if (const auto bad = first_byte_not_utf8(text))
    throw core::data_error(fmt::format("{}: malformed JSON (not UTF-8 at byte {})", where, *bad));

  std::vector<std::unordered_set<std::string>> keys;  // of the objects and arrays that are open
  const auto on_event = [&](int, Event event, nlohmann::json& value) {
    if (event == Event::object_start || event == Event::array_start) {
      if (static_cast<int>(keys.size()) >= max_depth)
        throw core::data_error(fmt::format("{}: JSON nested deeper than {} levels", where, max_depth));
      keys.emplace_back();
    } else if (event == Event::object_end || event == Event::array_end) {
      keys.pop_back();
    } else if (event == Event::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second)
        throw core::data_error(fmt::format("{}: {} is there twice", where, shown(key)));
    }
    return true;
  };
  try {
    nlohmann::json object = nlohmann::json::parse(text.begin(), text.end(), on_event);
    if (!object.is_object()) throw core::data_error(fmt::format("{}: not a JSON object", where));
    return object;
  } catch (const nlohmann::json::parse_error& error) {
    throw core::data_error(fmt::format("{}: malformed JSON at byte {}", where, error.byte));
  } catch (const nlohmann::json::out_of_range&) {  // 1e999
    throw core::data_error(fmt::format("{}: malformed JSON (a number out of range)", where));
  }
}

}  // namespace thinktune::weights
