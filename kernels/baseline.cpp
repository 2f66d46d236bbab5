// The kernels for every processor: 16-byte vectors, no instruction that the compiler's default target lacks.
#include <math.h>

#include "kernels/impl/table.h"

#define TT_VECTOR_BYTES 16

namespace thinktune::kernels::baseline {
#include "kernels/impl/all.inl"
}  // namespace thinktune::kernels::baseline
