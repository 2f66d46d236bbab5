// state.json of a checkpoint: the run's state, and the model that it belongs to. No LibTorch.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "thinktune/checkpoint/run_state.h"

namespace thinktune::checkpoint {

struct SavedState {
  RunState state;
  nlohmann::json model;  // what tells models apart
};

std::string to_json_text(const SavedState& saved);

// `where` names the file in messages. Throws Error{Data} naming file and field: no JSON, a field that is missing or of
// another type, a count below 0, a config or a guard's state that is no JSON object or nested too deep.
SavedState parse_state(const std::string& text, const std::string& where);

}  // namespace thinktune::checkpoint
