// A run in which no rollout is ever rewarded learns nothing, and looks healthy: the loss is 0, the time per step is as
// always. Mostly the answer format is not being read. This says so.
#pragma once

#include <cstdint>
#include <string>

#include "thinktune/report/rollout_statistics.h"

namespace thinktune::report {

// One object a run. Its count begins anew when a run is resumed.
class ZeroRewardWatcher {
 public:
  // Speaks after `num_steps` steps in a row, and again after as many more. 0: never.
  explicit ZeroRewardWatcher(int64_t num_steps) : num_steps_(num_steps) {}

  // A warning with advice, or "" as long as all is well. A step without scored rollouts neither counts nor ends the
  // row.
  std::string observe(int64_t step, const RolloutStatistics& statistics);

  int64_t streak() const { return streak_; }

 private:
  int64_t num_steps_;
  int64_t streak_ = 0;
};

}  // namespace thinktune::report
