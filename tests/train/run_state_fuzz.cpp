// Any bytes as a checkpoint's state.json, taken as far as a resume takes them: refused with Error{Data}, or a state
// whose numbers are in their ranges, whose config compares with itself and with a run's, and that is written and read
// back as it is.
#include <cstdlib>

#include "src/checkpoint/state_file.h"
#include "thinktune/core/error.h"
#include "thinktune/guidance/guard.h"
#include "thinktune/train/config_changes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const checkpoint::SavedState saved = checkpoint::parse_state(text, "state.json");
    const checkpoint::RunState& state = saved.state;
    if (state.step < 0 || state.step + 1 > 1'000'000'000'000'000 || state.num_updates < 0 || state.metrics_rows < 0 ||
        state.evaluation_rows < 0)
      std::abort();
    const std::string written = checkpoint::to_json_text(saved);
    if (checkpoint::to_json_text(checkpoint::parse_state(written, "state.json")) != written) std::abort();
    if (!train::compare_configs(state.config, state.config).empty()) std::abort();
    for (const train::ConfigChange& change :
         train::compare_configs(state.config, R"({"steps": 2, "optim": {"lr": 1}})"))
      if (change.text().empty()) std::abort();
    if (!state.guard.empty()) {
      guidance::GuardState guard = guidance::guard_state_from_json(state.guard);
      for (int64_t step = 0; step < 3; ++step) guidance::observe(guard, {}, state.step + step, 0.5);
    }
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
