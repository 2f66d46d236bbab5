#include "thinktune/train/config_changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::train {
namespace {

using nlohmann::json;

// A name that ends with a point is a section.
constexpr const char* kHarmless[] = {"output",
                                     "eval.",
                                     "checkpoint.",
                                     "report.",
                                     "engine.",
                                     "data.heldout_file",
                                     "reward.threads",
                                     "comm.timeout_s",
                                     "update.gradient_checkpointing",
                                     "update.mismatch_warning"};
constexpr const char* kLastBits[] = {"device", "threads", "comm.", "update.micro_batch_tokens"};

template <size_t N>
bool is_in(const char* const (&names)[N], const std::string& key) {
  return std::any_of(std::begin(names), std::end(names), [&](const std::string& name) {
    return name.ends_with('.') ? key.starts_with(name) : key == name;
  });
}

void flatten(const json& section, const std::string& prefix, std::map<std::string, json>& fields) {
  for (const auto& [name, value] : section.items()) {
    if (value.is_object())
      flatten(value, prefix + name + ".", fields);
    else
      fields[prefix + name] = value;
  }
}

std::map<std::string, json> fields_of(const std::string& config, const char* whose) {
  core::check_json_depth(config, fmt::format("the config of the {}", whose));
  const json parsed = json::parse(config, nullptr, false);
  if (!parsed.is_object()) throw core::data_error(fmt::format("the config of the {} cannot be read", whose));
  std::map<std::string, json> fields;
  flatten(parsed, "", fields);
  return fields;
}

json value_of(const std::map<std::string, json>& fields, const std::string& key) {
  const auto field = fields.find(key);
  return field == fields.end() ? json() : field->second;
}

// Whether the number of steps is part of a formula.
bool schedules_know_steps(const std::map<std::string, json>& fields) {
  const bool guided = value_of(fields, "guidance.enabled") == true;
  return value_of(fields, "optim.schedule") != "constant" ||
         (guided && value_of(fields, "guidance.schedule.kind") != "constant");
}

std::string shown(const json& value) { return value.is_null() ? "nothing" : value.dump(); }

}  // namespace

std::string ConfigChange::text() const {
  return fmt::format("{}: {} → {}{}", key, before, after, may_change_last_bits ? " (last bits may differ)" : "");
}

std::vector<ConfigChange> compare_configs(const std::string& before, const std::string& after) {
  const auto old_fields = fields_of(before, "checkpoint"), new_fields = fields_of(after, "run");
  std::set<std::string> keys;
  for (const auto* fields : {&old_fields, &new_fields})
    for (const auto& [key, value] : *fields) keys.insert(key);
  const bool steps_count = schedules_know_steps(old_fields) || schedules_know_steps(new_fields);
  std::vector<ConfigChange> changes;
  for (const std::string& key : keys) {
    const json old_value = value_of(old_fields, key), new_value = value_of(new_fields, key);
    if (old_value == new_value) continue;
    ConfigChange change = {.key = key, .before = shown(old_value), .after = shown(new_value)};
    const bool harmless = is_in(kHarmless, key) || (key == "steps" && !steps_count);
    change.may_change_last_bits = !harmless && is_in(kLastBits, key);
    change.changes_mathematics = !harmless && !change.may_change_last_bits;
    changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace thinktune::train
