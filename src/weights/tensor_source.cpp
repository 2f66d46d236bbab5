#include "thinktune/weights/tensor_source.h"

#include <array>
#include <utility>

#include "thinktune/core/error.h"
#include "weights/checks.h"

namespace thinktune::weights {
namespace {

struct DTypeFacts {
  DType dtype;
  std::string_view name;
  BlockSize block;
};

// In the order of the enumeration. Blocks of 32: a half scale (and a half minimum for _1), 32 bits of fifth bits for
// Q5, then quants. Blocks of 256: see dequantize_k.cpp.
constexpr std::array<DTypeFacts, 13> kDTypes = {{
    {DType::F32, "F32", {1, 4}},
    {DType::F16, "F16", {1, 2}},
    {DType::BF16, "BF16", {1, 2}},
    {DType::Q8_0, "Q8_0", {32, 2 + 32}},
    {DType::Q4_0, "Q4_0", {32, 2 + 16}},
    {DType::Q4_1, "Q4_1", {32, 2 + 2 + 16}},
    {DType::Q5_0, "Q5_0", {32, 2 + 4 + 16}},
    {DType::Q5_1, "Q5_1", {32, 2 + 2 + 4 + 16}},
    {DType::Q2_K, "Q2_K", {256, 16 + 64 + 2 + 2}},
    {DType::Q3_K, "Q3_K", {256, 32 + 64 + 12 + 2}},
    {DType::Q4_K, "Q4_K", {256, 2 + 2 + 12 + 128}},
    {DType::Q5_K, "Q5_K", {256, 2 + 2 + 12 + 32 + 128}},
    {DType::Q6_K, "Q6_K", {256, 128 + 64 + 16 + 2}},
}};

const DTypeFacts& facts(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  TT_CHECK(index < kDTypes.size() && kDTypes[index].dtype == dtype, "dtype {} is not in the table", index);
  return kDTypes[index];
}

}  // namespace

std::string_view name_of(DType dtype) { return facts(dtype).name; }

BlockSize block_size(DType dtype) { return facts(dtype).block; }

size_t elements_of_block(DType dtype) { return block_size(dtype).elements; }

size_t bytes_of(DType dtype, size_t num_elements) {
  const BlockSize block = block_size(dtype);
  TT_CHECK(num_elements % block.elements == 0, "{} elements are no whole number of {} blocks", num_elements,
           name_of(dtype));
  return num_elements / block.elements * block.bytes;
}

std::optional<DType> dtype_named(std::string_view name) {
  for (const DTypeFacts& entry : kDTypes)
    if (entry.name == name) return entry.dtype;
  return std::nullopt;
}

size_t TensorInfo::num_elements() const {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

void TensorSource::set_tensors(std::vector<TensorInfo> tensors) {
  tensors_ = std::move(tensors);
  index_.clear();
  index_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i)
    TT_CHECK(index_.emplace(tensors_[i].name, i).second, "the tensor {} is there twice", shown(tensors_[i].name));
}

const TensorInfo* TensorSource::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void TensorSource::release(const TensorInfo& tensor) const { core::discard_pages(tensor.bytes); }

}  // namespace thinktune::weights
