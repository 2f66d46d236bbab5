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
#include "thinktune/weights/tensor_to_write.h"

namespace thinktune::weights {

class Safetensors final : public TensorSource {
 public:
  // One .safetensors file. Throws Error{Data}: truncated, header longer than the file, malformed JSON, a tensor outside
  // the file, offsets that overlap, leave gaps or do not match shape and dtype, a name twice, a dtype other than F32,
  // F16 and BF16.
  explicit Safetensors(const std::filesystem::path& file);

  // tensors() are in the order of the data; shards by name.
  std::string where() const override { return where_; }

  // "__metadata__" of the header.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  friend std::unique_ptr<TensorSource> open_safetensors_folder(const std::filesystem::path& folder);
  Safetensors() = default;
  void add_file(const std::filesystem::path& file, std::vector<TensorInfo>& tensors);

  std::string where_;
  std::vector<core::MappedFile> files_;
  std::map<std::string, std::string> metadata_;
};

// A Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json names. Throws Error{Data}
// if neither is there (also where there are only pickles, which run code when they are read), a shard is missing, a
// shard lacks a tensor that the index promises, two shards hold the same one, or a shard's name leaves the folder.
std::unique_ptr<TensorSource> open_safetensors_folder(const std::filesystem::path& folder);

// The data in the order given, those of four bytes an element first, so that each tensor is aligned; the same input
// gives the same bytes. Throws Error{User} if it cannot be written (folder, disk full, a name or metadata that is not
// UTF-8): nothing is left behind then, and a file that was there stays. Error{Internal}: an empty or reserved name or
// one with control characters, a name twice, a block type, a shape that is negative or overflows, no data. Needs no
// memory for tensors by pointer, and that of the largest one for tensors by callback.
core::WrittenFile write_safetensors(const std::filesystem::path& file, const std::vector<TensorToWrite>& tensors,
                                    const std::map<std::string, std::string>& metadata = {});

// A Hugging Face folder's weights: model.safetensors if all fit into max_shard_bytes of data, else shards
// model-00001-of-0000N.safetensors, filled in the order given (a larger tensor has one for itself), and the index
// model.safetensors.index.json. Every file is complete before the first takes its name, and weights of an earlier save
// are removed last: an error or a full disk leaves the folder as it was; a crash in the moment between renames leaves
// at most a folder without an index, which is refused when it is opened, never a mixture. Other files are not touched.
// Errors as above. Both saves have to fit on the disk for a while. `folder` exists. Internal: max_shard_bytes is 0.
std::vector<core::WrittenFile> write_safetensors_folder(const std::filesystem::path& folder,
                                                        const std::vector<TensorToWrite>& tensors,
                                                        const std::map<std::string, std::string>& metadata = {},
                                                        uint64_t max_shard_bytes = 5'000'000'000);

}  // namespace thinktune::weights
