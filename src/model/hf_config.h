// Reading fields of a config.json with errors that name file and field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "thinktune/core/types.h"

namespace thinktune::model {

// A JSON object from a file of a model folder; nesting and size are bounded. Throws Error{Data}.
nlohmann::json parse_config(const std::string& text, const std::string& where);

int64_t required_int(const nlohmann::json& config, const char* field, const std::string& where);
int64_t optional_int(const nlohmann::json& config, const char* field, int64_t fallback, const std::string& where);
double optional_number(const nlohmann::json& config, const char* field, double fallback, const std::string& where);
bool optional_bool(const nlohmann::json& config, const char* field, bool fallback, const std::string& where);

// One id, a list of ids, or nothing.
std::vector<core::TokenId> token_ids(const nlohmann::json& config, const char* field, const std::string& where);

}  // namespace thinktune::model
