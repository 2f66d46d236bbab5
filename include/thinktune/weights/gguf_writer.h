// GGUF out: version 3, as llama.cpp and the `gguf` package read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "thinktune/weights/tensor_to_write.h"

namespace thinktune::weights {

// A metadata value with the type that is written. Readers insist on it: llama.cpp wants counts and token ids as
// uint32_t, epsilons and rope bases as float, flags as bool, token types as int32_t items, scores as float items.
using GgufTypedValue =
    std::variant<bool, uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t, float, double,
                 std::string, std::vector<bool>, std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                 std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>, std::vector<uint64_t>,
                 std::vector<int64_t>, std::vector<float>, std::vector<double>, std::vector<std::string>>;

struct GgufEntry {
  std::string key;
  GgufTypedValue value;
};

// Metadata and tensors in the order given; the same input gives the same bytes. Tensors of every DType may be written
// (shapes row-major, at most 4 dimensions, rows of whole blocks), aligned to general.alignment if the metadata has it
// (uint32_t, a power of two from 8 to 65536), else to 32. Readers look for general.architecture first: it belongs to
// the front. Atomic; needs memory for one tensor by callback. Throws Error{User}: it cannot be written (folder, disk
// full), or a key, text or name is not UTF-8. Error{Internal}: an empty key or one of more than 65535 bytes, a name
// that is empty or has more than 63 bytes (llama.cpp's limit), either of them twice, a shape that cannot be, no data.
void write_gguf(const std::filesystem::path& file, const std::vector<GgufEntry>& metadata,
                const std::vector<TensorToWrite>& tensors);

}  // namespace thinktune::weights
