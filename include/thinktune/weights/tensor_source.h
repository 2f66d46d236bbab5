// Named tensors in a file, and the file's own facts. No torch: bytes, shapes and names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinktune::weights {

// How elements are stored. The Q types come in blocks of 32 with their own scale (ggml's formats).
enum class DType : uint8_t { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 };

std::string_view name_of(DType dtype);
size_t bytes_of(DType dtype,
                size_t num_elements);  // num_elements must be a multiple of the block (checked by the readers)

struct TensorInfo {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;        // row-major, outermost first (a GGUF's order reversed)
  std::span<const std::byte> bytes;  // in the mapped file; lives as long as the source; of any alignment

  size_t num_elements() const;
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual const std::vector<TensorInfo>& tensors() const = 0;  // in the file's order
  virtual std::string where() const = 0;                       // the path, for messages

  const TensorInfo* find(std::string_view name) const;  // nullptr if there is none
};

// Dequantised or widened values; `out` has num_elements() entries. Equal to the `gguf` package's values to the last
// bit, up to one fused multiply-add. `bytes` must be what bytes_of() says (checked: Internal) and may have any
// alignment.
void to_float(const TensorInfo& tensor, float* out);
void to_float(DType dtype, std::span<const std::byte> bytes, size_t num_elements, float* out);

}  // namespace thinktune::weights
