#include "kernels/instruction_set.h"

#include <atomic>

#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

bool has(InstructionSet set) {
  if (set == InstructionSet::Baseline) return true;
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (set == InstructionSet::Avx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

std::atomic<InstructionSet>& chosen() {
  static std::atomic<InstructionSet> set = available_instruction_sets().back();
  return set;
}

}  // namespace

std::string_view name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::Avx2:
      return "avx2";
    case InstructionSet::Avx512:
      return "avx512";
    case InstructionSet::Baseline:
      break;
  }
  return "baseline";
}

InstructionSet instruction_set() { return chosen().load(std::memory_order_relaxed); }

std::vector<InstructionSet> available_instruction_sets() {
  std::vector<InstructionSet> sets;
  for (InstructionSet set : {InstructionSet::Baseline, InstructionSet::Avx2, InstructionSet::Avx512})
    if (has(set)) sets.push_back(set);
  return sets;
}

void set_instruction_set(InstructionSet set) {
  if (!has(set))
    throw core::user_error(fmt::format("this processor cannot run the {} kernels", name_of(set)),
                           fmt::format("the widest it has is {}", name_of(available_instruction_sets().back())));
  chosen().store(set, std::memory_order_relaxed);
}

}  // namespace thinktune::kernels
