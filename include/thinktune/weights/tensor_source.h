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
#include <unordered_map>
#include <vector>

namespace thinktune::weights {

// How elements are stored. The Q types come in blocks with their own scale (ggml's formats): of 32 elements, or of 256
// with scales for every 16 or 32 of them (_K).
enum class DType : uint8_t { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };

std::string_view name_of(DType dtype);
size_t elements_of_block(DType dtype);  // 1 for F32, F16 and BF16
size_t bytes_of(DType dtype,
                size_t num_elements);  // num_elements must be a multiple of the block (checked by the readers)

struct TensorInfo {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;        // row-major, outermost first (a GGUF's order reversed)
  std::span<const std::byte> bytes;  // in the mapped file; lives as long as the source; of any alignment

  size_t num_elements() const;
};

// Reading is thread-safe; the files must not change while they are open.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::string where() const = 0;  // the path, for messages

  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in the file's order, names all different
  const TensorInfo* find(std::string_view name) const;                 // nullptr if there is none; constant time

  // Gives the memory of the tensor's pages back to the system; `tensor` is one of tensors(). A loader that does this
  // after each tensor never holds much more of the file than one. They may be read again, and come from the disk then.
  // (Reading ahead is left to the system: telling it which tensor comes next made loading no faster.)
  void release(const TensorInfo& tensor) const;

 protected:
  TensorSource() = default;
  TensorSource(TensorSource&&) = default;
  TensorSource& operator=(TensorSource&&) = default;

  void set_tensors(std::vector<TensorInfo> tensors);  // Internal: a name twice

 private:
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t>
      index_;  // views of the names in tensors_, which keep their place in moves
};

// Dequantised or widened values; `out` has num_elements() entries. Equal to the `gguf` package's values to the last
// bit. `bytes` must be what bytes_of() says (checked: Internal) and may have any alignment.
void to_float(const TensorInfo& tensor, float* out);
void to_float(DType dtype, std::span<const std::byte> bytes, size_t num_elements, float* out);

}  // namespace thinktune::weights
