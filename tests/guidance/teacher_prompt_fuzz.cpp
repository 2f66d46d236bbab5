// Any bytes as the teacher's prompt file, and as the guard's saved state: refused with Error{Data}, or used.
#include <cstdlib>

#include "thinktune/core/error.h"
#include "thinktune/guidance/guard.h"
#include "thinktune/guidance/teacher_prompt.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thinktune;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto prompt = guidance::TeacherPrompt::parse(text, "fuzz.json");
    if (prompt.fixed_messages({}).size() != 1 + 2 * prompt.examples().size()) std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  try {
    const guidance::GuardState state = guidance::guard_state_from_json(text);
    if (guidance::to_json(guidance::guard_state_from_json(guidance::to_json(state))) != guidance::to_json(state))
      std::abort();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::Data) throw;
  }
  return 0;
}
