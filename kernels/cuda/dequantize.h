// Stored weights to elements on the device, equal to weights::to_float to the bit (and then rounded to E).
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace thinktune::kernels::cuda {

enum class Stored : uint8_t { F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };

// Bytes of so many elements, whole blocks of the type's.
int64_t stored_bytes(Stored type, int64_t num_elements);

// in: the file's bytes, aligned to 2; out: [num_elements].
template <class E>
void dequantize(Stored type, const void* in, int64_t num_elements, E* out, Stream stream);

}  // namespace thinktune::kernels::cuda
