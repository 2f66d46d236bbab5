#include "weights/writing.h"

#include "weights/checks.h"

namespace thinktune::weights {

uint64_t num_bytes_of(const TensorToWrite& tensor) {
  return static_cast<uint64_t>(*checked_bytes(tensor.dtype, *checked_num_elements(tensor.shape)));
}

void write_tensor(core::AtomicFile& file, const TensorToWrite& tensor, std::vector<std::byte>& buffer) {
  const uint64_t num_bytes = num_bytes_of(tensor);
  if (tensor.data != nullptr || num_bytes == 0) {
    file.write(tensor.data, num_bytes);
    return;
  }
  buffer.resize(num_bytes);
  tensor.produce(buffer.data());
  file.write(buffer.data(), num_bytes);
}

}  // namespace thinktune::weights
