// What both readers need before they trust a number of a file: block sizes, products that cannot overflow, names fit
// for a message.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "thinktune/core/atomic_file.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::weights {

struct BlockSize {
  size_t elements;
  size_t bytes;
};
BlockSize block_size(DType dtype);

// The type with this name in our table; nothing if there is none. Names are those of ggml and of safetensors.
std::optional<DType> dtype_named(std::string_view name);

// The product, or nothing if it leaves int64 (the range of a tensor's sizes and of its element count).
std::optional<int64_t> checked_product(int64_t a, int64_t b);  // a, b >= 0
std::optional<int64_t> checked_num_elements(std::span<const int64_t> shape);
std::optional<int64_t> checked_bytes(DType dtype, int64_t num_elements);  // num_elements is a multiple of the block

// 'name' with what a terminal cannot show as \xNN, cut after 100 bytes.
std::string shown(std::string_view name);

// Where the first byte stands that cannot belong to UTF-8 (as Unicode defines it: shortest forms, no surrogates).
std::optional<size_t> first_byte_not_utf8(std::string_view text);

// [3, 4]
std::string to_text(std::span<const int64_t> shape);

// What to do about a file that is not what its name says.
std::string hint_for_damaged(const core::MappedFile& file);

}  // namespace thinktune::weights
