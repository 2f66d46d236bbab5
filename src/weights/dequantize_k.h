// Blocks of 256 elements to float; `in` is one block of any alignment, `out` has 256 entries.
#pragma once

#include <cstddef>

namespace thinktune::weights {

inline constexpr size_t kSuperBlock = 256;

void unpack_q2_k(const std::byte* in, float* out);
void unpack_q3_k(const std::byte* in, float* out);
void unpack_q4_k(const std::byte* in, float* out);
void unpack_q5_k(const std::byte* in, float* out);
void unpack_q6_k(const std::byte* in, float* out);

}  // namespace thinktune::weights
