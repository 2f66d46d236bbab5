// The kernels with 32-byte vectors (x86-64-v3). All includes come before the pragma: what they define stays code for
// every processor.
#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#include "kernels/impl/table.h"

#define TT_VECTOR_BYTES 32

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif

namespace thinktune::kernels::avx2 {
#include "kernels/impl/all.inl"
}  // namespace thinktune::kernels::avx2

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
