// Writes the layout described in gguf_format.h.
#include "thinktune/weights/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <unordered_set>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "weights/checks.h"
#include "weights/gguf_format.h"
#include "weights/writing.h"

namespace thinktune::weights {
namespace {

constexpr size_t kMaxNameBytes = 63;  // GGML_MAX_NAME with its zero byte
constexpr size_t kMaxKeyBytes = 65535;

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
constexpr GgufType type_of() {
  if constexpr (std::is_same_v<T, bool>) return GgufType::Bool;
  if constexpr (std::is_same_v<T, uint8_t>) return GgufType::U8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufType::I8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufType::U16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufType::I16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufType::U32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufType::I32;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufType::U64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufType::I64;
  if constexpr (std::is_same_v<T, float>) return GgufType::F32;
  if constexpr (std::is_same_v<T, double>) return GgufType::F64;
  if constexpr (std::is_same_v<T, std::string>) return GgufType::String;
  if constexpr (IsVector<T>::value) return GgufType::Array;
}

// The file's part before the tensors' data.
class Head {
 public:
  template <class T>
  void scalar(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const size_t size = bytes_.size();
    bytes_.resize(size + sizeof value);
    std::memcpy(bytes_.data() + size, &value, sizeof value);
  }

  void string(const std::string& text, std::string_view what) {
    if (first_byte_not_utf8(text))
      throw core::user_error(fmt::format("{} {} is not UTF-8 and cannot be written to a GGUF file", what, shown(text)));
    scalar<uint64_t>(text.size());
    bytes_ += text;
  }

  template <class T>
  void item(const T& value, std::string_view what) {
    if constexpr (std::is_same_v<T, std::string>)
      string(value, what);
    else if constexpr (std::is_same_v<T, bool>)
      scalar<uint8_t>(value ? 1 : 0);
    else
      scalar(value);
  }

  void value(const GgufTypedValue& value, std::string_view what) {
    std::visit(
        [&]<class T>(const T& typed) {
          scalar(static_cast<uint32_t>(type_of<T>()));
          if constexpr (IsVector<T>::value) {
            scalar(static_cast<uint32_t>(type_of<typename T::value_type>()));
            scalar<uint64_t>(typed.size());
            for (const typename T::value_type& one : typed) item<typename T::value_type>(one, what);
          } else {
            item(typed, what);
          }
        },
        value);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

void check_metadata(const std::vector<GgufEntry>& metadata) {
  std::unordered_set<std::string_view> keys;
  for (const GgufEntry& entry : metadata) {
    TT_CHECK(!entry.key.empty() && entry.key.size() <= kMaxKeyBytes, "a metadata key of {} bytes", entry.key.size());
    TT_CHECK(keys.insert(entry.key).second, "the metadata key {} is to be written twice", shown(entry.key));
  }
}

void check_tensors_for_gguf(const std::vector<TensorToWrite>& tensors) {
  std::unordered_set<std::string_view> names;
  for (const TensorToWrite& tensor : tensors) {
    const std::string what = shown(tensor.name), shape = to_text(tensor.shape);
    TT_CHECK(!tensor.name.empty() && tensor.name.size() <= kMaxNameBytes, "{} cannot be the name of a tensor", what);
    TT_CHECK(names.insert(tensor.name).second, "the tensor {} is to be written twice", what);
    TT_CHECK(tensor.shape.size() <= kMaxDims, "tensor {} has the shape {}", what, shape);
    for (const int64_t size : tensor.shape) TT_CHECK(size >= 0, "tensor {} has the shape {}", what, shape);
    const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
    TT_CHECK(row % static_cast<int64_t>(elements_of_block(tensor.dtype)) == 0,
             "tensor {} of shape {}: rows are no whole {} blocks", what, shape, name_of(tensor.dtype));
    const auto num_elements = checked_num_elements(tensor.shape);
    TT_CHECK(num_elements && checked_bytes(tensor.dtype, *num_elements), "tensor {}: the shape {} overflows", what,
             shape);
    TT_CHECK(*num_elements == 0 || tensor.data != nullptr || tensor.produce, "tensor {} has no data", what);
  }
}

uint64_t alignment_of(const std::vector<GgufEntry>& metadata) {
  for (const GgufEntry& entry : metadata) {
    if (entry.key != kAlignmentKey) continue;
    const auto* alignment = std::get_if<uint32_t>(&entry.value);
    TT_CHECK(alignment != nullptr && std::has_single_bit(*alignment) && *alignment >= 8 && *alignment <= 65536,
             "{} is no uint32 that is a power of two from 8 to 65536", kAlignmentKey);
    return *alignment;
  }
  return kDefaultAlignment;
}

uint32_t ggml_type_of(DType dtype) {
  const auto found = std::find_if(kGgmlTypes.begin(), kGgmlTypes.end(),
                                  [&](const auto& entry) { return entry.second == name_of(dtype); });
  TT_CHECK(found != kGgmlTypes.end(), "{} is no type of ggml", name_of(dtype));
  return found->first;
}

uint64_t padding_of(uint64_t position, uint64_t alignment) { return (alignment - position % alignment) % alignment; }

}  // namespace

void write_gguf(const std::filesystem::path& path, const std::vector<GgufEntry>& metadata,
                const std::vector<TensorToWrite>& tensors) {
  check_metadata(metadata);
  check_tensors_for_gguf(tensors);
  const uint64_t alignment = alignment_of(metadata);

  Head head;
  head.scalar(kGgufMagic);
  head.scalar(kGgufVersion);
  head.scalar<uint64_t>(tensors.size());
  head.scalar<uint64_t>(metadata.size());
  for (const GgufEntry& entry : metadata) {
    head.string(entry.key, "the metadata key");
    head.value(entry.value, fmt::format("a text of the metadata value {}:", shown(entry.key)));
  }
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    head.string(tensor.name, "the tensor name");
    head.scalar(static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      head.scalar(static_cast<uint64_t>(*size));
    head.scalar(ggml_type_of(tensor.dtype));
    head.scalar(offset);
    offset += num_bytes_of(tensor);
    offset += padding_of(offset, alignment);
  }

  // The last tensor is padded too: llama.cpp reads the data as one piece whose size is the sum of padded sizes.
  const std::string zeros(alignment, '\0');
  core::AtomicFile file(path, core::Content::Bulk);
  file.write(head.bytes());
  file.write(zeros.data(), padding_of(head.bytes().size(), alignment));
  std::vector<std::byte> buffer;
  for (const TensorToWrite& tensor : tensors) {
    write_tensor(file, tensor, buffer);
    file.write(zeros.data(), padding_of(num_bytes_of(tensor), alignment));
  }
  file.commit();
}

}  // namespace thinktune::weights
