// Which instruction set the kernels run with: the widest that the processor has, chosen once at run time.
#pragma once

#include <string_view>
#include <vector>

namespace thinktune::kernels {

enum class InstructionSet {
  Baseline,    // 16-byte vectors: every x86-64 processor, and other architectures
  Avx2,        // 32-byte vectors and FMA (x86-64-v3)
  Avx512,      // 64-byte vectors (x86-64-v4)
  Avx512Bf16,  // and products of pairs of bf16
  Amx,         // and matrix tiles of bf16
};

std::string_view name_of(InstructionSet set);

InstructionSet instruction_set();

// What this processor can run, narrowest first.
std::vector<InstructionSet> available_instruction_sets();

// For tests and comparisons: all kernels called from here on use `set`. Not to be called while kernels run. Throws
// Error{User} if the processor lacks it.
void set_instruction_set(InstructionSet set);

}  // namespace thinktune::kernels
