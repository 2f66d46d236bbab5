// settings.json and summary.json of an evaluation (thinktune/eval/benchmark.h), as another call reads them.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace thinktune::eval {

// The object in a file. Throws Error{Data} with `hint` if there is none; `what` names the file's part in the message
// about one that cannot be read.
nlohmann::ordered_json read_object(const std::filesystem::path& file, std::string_view what,
                                   const std::string& hint = "");

// The dotted name of the first setting in which two differ, with both values; empty if none does.
std::string first_difference(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b,
                             const std::string& prefix = "");

}  // namespace thinktune::eval
