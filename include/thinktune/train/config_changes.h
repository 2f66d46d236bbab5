// What has changed between the config of a checkpoint and that of the run that goes on from it.
#pragma once

#include <string>
#include <vector>

namespace thinktune::train {

struct ConfigChange {
  std::string key;            // dotted
  std::string before, after;  // JSON; "nothing" where the key is not there
  bool changes_mathematics = false;
  bool may_change_last_bits = false;  // the same mathematics in another order of sums

  std::string text() const;  // "optim.lr: 1e-06 → 2e-06"
};

// Field by field, of two resolved configs (JSON), in the order of their keys. Whatever is not known to be harmless
// changes the mathematics; `steps` does where a schedule depends on it. Throws Error{Data} if one of them is no
// JSON object, or nested too deep.
std::vector<ConfigChange> compare_configs(const std::string& before, const std::string& after);

}  // namespace thinktune::train
