// The two lists at the beginning of a GGUF file.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "thinktune/weights/gguf.h"
#include "weights/gguf_cursor.h"

namespace thinktune::weights {

// The metadata. Throws Error{Data} for a key twice, an unknown type, an array of arrays, text that is not UTF-8.
std::vector<std::pair<std::string, GgufValue>> read_gguf_values(GgufCursor& cursor, uint64_t count);

// The tensors, with their bytes in the cursor's file. Throws Error{Data} for a name twice, an unknown type, a shape
// that overflows or does not divide into blocks, an offset off the alignment, outside the file, or inside another
// tensor.
std::vector<TensorInfo> read_gguf_tensors(GgufCursor& cursor, uint64_t count, uint64_t alignment);

}  // namespace thinktune::weights
