#include "kernels/instruction_set.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>

#include "thinktune/core/error.h"

namespace thinktune::kernels {
namespace {

#if defined(__x86_64__)
// Whether the processor has tiles for bf16 and the operating system lets this process use them.
bool ask_for_tiles() {
  // Intel 64 manual, volume 1, 18: leaf 7 tells of tiles (EDX bit 24) and of their bf16 products (bit 22).
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if ((d >> 24 & 1) == 0 || (d >> 22 & 1) == 0) return false;
  constexpr long kAskForState = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA of Linux
  return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
}
#endif

bool has(InstructionSet set) {
  if (set == InstructionSet::Baseline) return true;
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
  static const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl");
  static const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  static const bool amx = bf16 && ask_for_tiles();
  switch (set) {
    case InstructionSet::Avx2:
      return avx2;
    case InstructionSet::Avx512:
      return avx512;
    case InstructionSet::Avx512Bf16:
      return bf16;
    case InstructionSet::Amx:
      return amx;
    case InstructionSet::Baseline:
      break;
  }
  return true;
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
    case InstructionSet::Avx512Bf16:
      return "avx512 with bf16";
    case InstructionSet::Amx:
      return "avx512 with matrix tiles";
    case InstructionSet::Baseline:
      break;
  }
  return "baseline";
}

InstructionSet instruction_set() { return chosen().load(std::memory_order_relaxed); }

std::vector<InstructionSet> available_instruction_sets() {
  std::vector<InstructionSet> sets;
  for (InstructionSet set : {InstructionSet::Baseline, InstructionSet::Avx2, InstructionSet::Avx512,
                             InstructionSet::Avx512Bf16, InstructionSet::Amx})
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
