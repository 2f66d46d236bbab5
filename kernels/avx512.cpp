// The kernels with 64-byte vectors (x86-64-v4). All includes come before the pragma: what they define stays code for
// every processor.
#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#include "kernels/impl/table.h"

#define TT_VECTOR_BYTES 64

#ifndef __clang__
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // GCC 12's own _mm512_undefined_…(), https://gcc.gnu.org/PR105593
#endif

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4")
#endif

namespace thinktune::kernels::avx512 {
#include "kernels/impl/all.inl"
}  // namespace thinktune::kernels::avx512

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
