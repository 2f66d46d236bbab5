// Values in and out without a second copy of the model: parts of a tensor, and whole tensors in another type.
#pragma once

#include <cstddef>

#include "thinktune/weights/tensor_source.h"

namespace thinktune::weights {

// Elements [first_element, first_element + num_elements) in the file's order. Both must be multiples of the type's
// block, and inside the tensor (Internal).
void to_float(const TensorInfo& tensor, size_t first_element, size_t num_elements, float* out);

// All elements as F32, F16 or BF16 (Internal: any other target), into bytes_of(target, num_elements()) bytes of any
// alignment. The same type is copied as it is; other values are rounded to nearest, ties to even. Takes a few tens of
// kilobytes beside `out`.
void read_into(const TensorInfo& tensor, DType target, void* out);

// Values as F32, F16, BF16 or Q8_0 (Internal: any other type, or no whole blocks), into bytes_of(dtype, num_values)
// bytes of any alignment; equal to the `gguf` package's quantize() to the last bit. F16 and BF16 round to nearest, ties
// to even; what is too large becomes infinite, NaN stays NaN. Throws Error{Data} for a NaN or an infinity that is to be
// stored as Q8_0.
void from_float(DType dtype, const float* values, size_t num_values, std::byte* out);

}  // namespace thinktune::weights
