// What the writers share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "thinktune/core/atomic_file.h"
#include "thinktune/weights/tensor_to_write.h"

namespace thinktune::weights {

// Throws Error{Internal} for what write_safetensors() lists.
void check_tensors(const std::vector<TensorToWrite>& tensors);

uint64_t num_bytes_of(const TensorToWrite& tensor);  // of a checked tensor

// Header and data; checked tensors; does not commit.
void write_content(core::AtomicFile& file, std::vector<const TensorToWrite*> tensors,
                   const std::map<std::string, std::string>& metadata);

// The bytes of a tensor into a file: from its pointer, or from its callback by way of `buffer`, which keeps its size
// for the next one.
void write_tensor(core::AtomicFile& file, const TensorToWrite& tensor, std::vector<std::byte>& buffer);

// As JSON, with its quotes. Throws Error{User} for what is not UTF-8.
std::string json_text(const std::string& text, const char* what);

}  // namespace thinktune::weights
