// A tensor on its way into a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "thinktune/weights/tensor_source.h"

namespace thinktune::weights {

// The content is `data`, or what `produce` writes: it is called once, when the tensor's turn comes, with room for
// bytes_of(dtype, elements) bytes, and may throw, so that a converted or gathered tensor exists only for that long.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;                        // row-major, outermost first
  const void* data = nullptr;                        // contiguous, alive until the call returns
  std::function<void(std::byte* out)> produce = {};  // used if data is null
};

}  // namespace thinktune::weights
