#include "state_file.h"

#include <cstdint>

#include "thinktune/core/error.h"
#include "thinktune/core/json_integer.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::checkpoint {
namespace {

using nlohmann::json;

// Steps have at most 15 digits in a checkpoint's name.
constexpr int64_t kMostSteps = 999'999'999'999'999;

// The fields by name.
class StateReader {
 public:
  StateReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) throw core::data_error(fmt::format("{} cannot be read: it is no JSON object", where_));
  }

  const json& at(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) throw core::data_error(fmt::format("{} cannot be read: {} is missing", where_, name));
    return *found;
  }

  int64_t integer(const char* name) const {
    const json& value = at(name);
    if (!value.is_number_integer()) wrong(name, "is no integer");
    return core::json_integer(value);
  }

  int64_t count(const char* name, int64_t most = INT64_MAX) const {
    const int64_t value = integer(name);
    if (value < 0 || value > most) wrong(name, fmt::format("is {}, not from 0 to {}", at(name).dump(), most));
    return value;
  }

  std::string text(const char* name) const {
    const json& value = at(name);
    if (!value.is_string()) wrong(name, "is no text");
    return value.get<std::string>();
  }

  // Absent in a checkpoint that is older than the field.
  std::string newer_text(const char* name) const { return object_.contains(name) ? text(name) : ""; }

  // A text that is JSON itself: what reads it later may go down into it.
  std::string object_text(const char* name) const {
    std::string inner = text(name);
    core::check_json_depth(inner, fmt::format("{}: {}", where_, name));
    if (!json::parse(inner, nullptr, false).is_object()) wrong(name, "holds no JSON object");
    return inner;
  }

  std::map<std::string, std::string> texts(const char* name) const {
    const json& value = at(name);
    if (!value.is_object()) wrong(name, "is no object of texts");
    std::map<std::string, std::string> all;
    for (const auto& [key, entry] : value.items()) {
      if (!entry.is_string()) wrong(name, "is no object of texts");
      all[key] = entry.get<std::string>();
    }
    return all;
  }

 private:
  [[noreturn]] void wrong(const char* name, const std::string& what) const {
    throw core::data_error(fmt::format("{} cannot be read: {} {}", where_, name, what));
  }

  const json& object_;
  std::string where_;
};

}  // namespace

std::string to_json_text(const SavedState& saved) {
  const RunState& state = saved.state;
  const json fields = {{"step", state.step},
                       {"num_steps", state.num_steps},
                       {"seed", state.seed},
                       {"data_position", state.data_position},
                       {"data_checksum", state.data_checksum},
                       {"initial_model_checksum", state.initial_model_checksum},
                       {"teacher_prompt_checksum", state.teacher_prompt_checksum},
                       {"num_updates", state.num_updates},
                       {"metrics_rows", state.metrics_rows},
                       {"evaluation_rows", state.evaluation_rows},
                       {"guard", state.guard},
                       {"config", state.config},
                       {"versions", state.versions},
                       {"model", saved.model}};
  return fields.dump(2) + "\n";
}

SavedState parse_state(const std::string& text, const std::string& where) {
  core::check_json_depth(text, where);
  const json parsed = json::parse(text, nullptr, false);
  const StateReader reader(parsed, where);
  RunState state;
  state.step = reader.count("step", kMostSteps);
  state.num_steps = reader.count("num_steps", kMostSteps);
  state.seed = static_cast<uint64_t>(reader.integer("seed"));
  state.data_position = static_cast<uint64_t>(reader.count("data_position"));
  state.data_checksum = reader.text("data_checksum");
  state.initial_model_checksum = reader.newer_text("initial_model_checksum");
  state.teacher_prompt_checksum = reader.newer_text("teacher_prompt_checksum");
  state.num_updates = reader.count("num_updates");
  state.metrics_rows = reader.count("metrics_rows");
  state.evaluation_rows = reader.count("evaluation_rows");
  if (!reader.text("guard").empty()) state.guard = reader.object_text("guard");
  state.config = reader.object_text("config");
  state.versions = reader.texts("versions");
  return {state, reader.at("model")};
}

}  // namespace thinktune::checkpoint
