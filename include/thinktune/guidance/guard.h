// The guard: does the student still end its turns? Splicing was seen to teach a small model to go on after its answer
// (ended by itself .95 → .5 in ten steps, accuracy to 0), while the rewards of guided rollouts looked well.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thinktune/guidance/options.h"

namespace thinktune::guidance {

// All that the guard remembers, for checkpoints.
struct GuardState {
  std::vector<double> first;   // shares of the first `window` steps
  std::vector<double> recent;  // shares of the last `window` steps, oldest first
  int64_t paused_until = 0;    // first step at which the running mean is looked at again; 0: not paused
  int64_t num_pauses = 0;
  bool warned = false;  // the fall that lasts has been reported (guard off)
  bool operator==(const GuardState&) const = default;
};

std::string to_json(const GuardState& state);
// Throws Error{Data} for anything that to_json does not write.
GuardState guard_state_from_json(const std::string& json);

enum class GuardEvent { None, Paused, PausedAgain, Resumed, Warned };

// What the guard says of one step.
struct GuardVerdict {
  GuardEvent event = GuardEvent::None;
  bool paused = false;
  double baseline = 0;  // mean of the first steps
  double running = 0;   // mean of the last steps
};

// `ended_share`: the share of this step's responses that ended by themselves, taken over all of them before anything is
// spliced: all are the student's own then, while those left unguided afterwards would be a biased choice. Steps must
// rise. A running mean of `window` steps more than max_drop below the first steps' mean pauses guidance for pause_steps
// steps, this one included; then, if it is still as low, once more. With the guard off nothing pauses and each fall is
// reported once.
GuardVerdict observe(GuardState& state, const GuardOptions& options, int64_t step, double ended_share);

}  // namespace thinktune::guidance
