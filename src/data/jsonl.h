// JSONL files: one JSON object a line.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace thinktune::data {

// Calls `line` for each line that is not blank with its object, "file:line" for messages, and the line's number from 1.
// CRLF and a UTF-8 byte order mark are accepted. Throws Error{Data} for a file that cannot be read, a line longer than
// 16 MB, nested deeper than 64, not JSON, or not an object.
void for_each_line(
    const std::filesystem::path& file,
    const std::function<void(const nlohmann::json& object, const std::string& where, size_t number)>& line);

// The text of a field; nothing if it is absent or null. Throws Error{Data} if it is anything but a text.
std::optional<std::string> text_field(const nlohmann::json& object, const char* name, const std::string& where);

// As text_field; a number is accepted and given as it is written. Throws Error{Data} for a number that a double does
// not hold.
std::optional<std::string> text_or_number_field(const nlohmann::json& object, const char* name,
                                                const std::string& where);

}  // namespace thinktune::data
