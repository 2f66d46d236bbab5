// JSON that comes with a model: small, flat, and of unknown origin.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace thinktune::weights {

// Parses an object. Throws Error{Data}, beginning with `where`, for text that is not JSON, a key twice in one object,
// and arrays or objects nested deeper than max_depth (the outermost object is depth 1) — before memory is spent on
// them.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where, int max_depth);

}  // namespace thinktune::weights
