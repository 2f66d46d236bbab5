// safetensors: a JSON header and raw tensors, one file or several with an index. Read memory-mapped; written
// atomically.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thinktune/core/atomic_file.h"
#include "thinktune/weights/tensor_source.h"

namespace thinktune::weights {

class Safetensors final : public TensorSource {
 public:
  // One .safetensors file. Throws Error{Data}: truncated, header longer than the file, malformed JSON, a tensor outside
  // the file, offsets that overlap, leave gaps or do not match shape and dtype, a name twice, a dtype other than F32,
  // F16 and BF16.
  explicit Safetensors(const std::filesystem::path& file);

  const std::vector<TensorInfo>& tensors() const override {
    return tensors_;
  }  // in the order of the data; shards by name
  std::string where() const override { return where_; }

  // "__metadata__" of the header.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  friend std::unique_ptr<TensorSource> open_safetensors_folder(const std::filesystem::path& folder);
  Safetensors() = default;
  void add_file(const std::filesystem::path& file);

  std::string where_;
  std::vector<core::MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

// A Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json names. Throws Error{Data}
// if neither is there, a shard is missing, a shard lacks a tensor that the index promises, or a shard's name leaves the
// folder.
std::unique_ptr<TensorSource> open_safetensors_folder(const std::filesystem::path& folder);

// What is written: names in order, float types only (F32, F16, BF16).
struct TensorToWrite {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  const void* data = nullptr;  // contiguous, alive until the call returns
};

// The data in the order given, those of four bytes an element first, so that each tensor is aligned; the same input
// gives the same bytes. Throws Error{User} if it cannot be written (folder, disk full, a name or metadata that is not
// UTF-8): nothing is left behind then, and a file that was there stays. Error{Internal}: an empty or reserved name or
// one with control characters, a name twice, a block type, a shape that is negative or overflows, no data.
void write_safetensors(const std::filesystem::path& file, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace thinktune::weights
