// Names and values in a config's error messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "thinktune/cli/config.h"

namespace thinktune::cli {

inline constexpr int kMaxConfigLevels = 32;

std::string joined(std::string_view section, std::string_view name);  // "a" and "b" → "a.b"
std::string section_of(const std::string& key);                       // "a.b.c" → "a.b", "a" → ""

std::string cut(std::string_view text, size_t longest);  // at most so many bytes, then "…"

// Fit for one line of a message: control characters escaped, cut to about 80 characters.
std::string printable(std::string_view text);

// "fast" (with quotes), 0.5, true, null, "a list", "a section".
std::string shown(const nlohmann::json& value);

// "a", "a or b", "a, b or c".
std::string either(const std::vector<std::string>& names);

// The end of the sentence "x.y is not a known key": what was probably meant, or else what is known in that section.
std::string advice_for_unknown(const std::string& key, const std::vector<Field>& fields);

}  // namespace thinktune::cli
