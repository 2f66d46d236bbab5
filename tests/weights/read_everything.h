// What the fuzz targets do with a file that was accepted.
#pragma once

#include <cstddef>
#include <vector>

#include "thinktune/weights/convert.h"

namespace thinktune::test {

// Converts every tensor to bfloat16, as a loader does, and gives its pages back.
inline void read_everything(const weights::TensorSource& source) {
  for (const weights::TensorInfo& tensor : source.tensors()) {
    std::vector<std::byte> values(weights::bytes_of(weights::DType::BF16, tensor.num_elements()));
    weights::read_into(tensor, weights::DType::BF16, values.data());
    source.release(tensor);
  }
}

}  // namespace thinktune::test
