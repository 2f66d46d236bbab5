// Writes the layout described in safetensors_reader.cpp. The same tensors give the same bytes.
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"
#include "weights/checks.h"
#include "weights/writing.h"

namespace thinktune::weights {
namespace {

constexpr size_t kHeaderAlignment = 8;

std::string header_of(const std::vector<const TensorToWrite*>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> members;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata)
      pairs.push_back(json_text(key, "metadata key") + ":" + json_text(value, "metadata value"));
    members.push_back(fmt::format("\"__metadata__\":{{{}}}", fmt::join(pairs, ",")));
  }
  uint64_t begin = 0;
  for (const TensorToWrite* tensor : tensors) {
    const uint64_t end = begin + num_bytes_of(*tensor);
    members.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                  json_text(tensor->name, "tensor name"), name_of(tensor->dtype),
                                  fmt::join(tensor->shape, ","), begin, end));
    begin = end;
  }
  std::string header = fmt::format("{{{}}}", fmt::join(members, ","));
  header.resize((header.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  return header;
}

}  // namespace

std::string json_text(const std::string& text, const char* what) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw core::user_error(
        fmt::format("the {} {} is not UTF-8 and cannot be written to a safetensors file", what, shown(text)));
  }
}

void check_tensors(const std::vector<TensorToWrite>& tensors) {
  std::unordered_set<std::string_view> names;
  for (const TensorToWrite& tensor : tensors) {
    const std::string what = shown(tensor.name);
    const bool has_control_bytes =
        std::any_of(tensor.name.begin(), tensor.name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    TT_CHECK(!tensor.name.empty() && tensor.name != "__metadata__" && !has_control_bytes,
             "{} cannot be the name of a tensor", what);
    TT_CHECK(names.insert(tensor.name).second, "the tensor {} is to be written twice", what);
    TT_CHECK(block_size(tensor.dtype).elements == 1, "tensor {}: {} cannot be written", what, name_of(tensor.dtype));
    for (const int64_t size : tensor.shape)
      TT_CHECK(size >= 0, "tensor {} has the shape {}", what, to_text(tensor.shape));
    const auto num_elements = checked_num_elements(tensor.shape);
    TT_CHECK(num_elements && checked_bytes(tensor.dtype, *num_elements), "tensor {}: the shape {} overflows", what,
             to_text(tensor.shape));
    TT_CHECK(*num_elements == 0 || tensor.data != nullptr || tensor.produce, "tensor {} has no data", what);
  }
}

void write_content(core::AtomicFile& file, std::vector<const TensorToWrite*> tensors,
                   const std::map<std::string, std::string>& metadata) {
  // The format allows no gaps, so tensors are aligned only if those of four bytes an element come before those of two.
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorToWrite* a, const TensorToWrite* b) {
    return block_size(a->dtype).bytes > block_size(b->dtype).bytes;
  });
  const std::string header = header_of(tensors, metadata);
  const uint64_t header_bytes = header.size();
  file.write(&header_bytes, sizeof header_bytes);
  file.write(header);
  std::vector<std::byte> buffer;
  for (const TensorToWrite* tensor : tensors) write_tensor(file, *tensor, buffer);
}

core::WrittenFile write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                                    const std::map<std::string, std::string>& metadata) {
  check_tensors(tensors);
  std::vector<const TensorToWrite*> pointers;
  for (const TensorToWrite& tensor : tensors) pointers.push_back(&tensor);
  core::AtomicFile file(path, core::Content::Bulk);
  write_content(file, std::move(pointers), metadata);
  return file.commit();
}

}  // namespace thinktune::weights
