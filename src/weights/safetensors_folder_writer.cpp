// A Hugging Face folder's weights: how tensors are dealt out to shards, and in which order files take their names.
#include <fmt/ranges.h>

#include <map>
#include <memory>
#include <regex>
#include <set>

#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"
#include "weights/writing.h"

namespace thinktune::weights {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

struct Shard {
  std::string name;
  std::vector<const TensorToWrite*> tensors;
};

std::vector<Shard> deal_out(const std::vector<TensorToWrite>& tensors, uint64_t max_shard_bytes) {
  std::vector<Shard> shards(1);
  uint64_t filled = 0;
  for (const TensorToWrite& tensor : tensors) {
    const uint64_t num_bytes = num_bytes_of(tensor);
    if (!shards.back().tensors.empty() && (filled > max_shard_bytes || num_bytes > max_shard_bytes - filled)) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().tensors.push_back(&tensor);
    filled += num_bytes;
  }
  for (size_t i = 0; i < shards.size(); ++i)
    shards[i].name =
        shards.size() == 1 ? kSingleFile : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  return shards;
}

// As transformers writes it: the tensors in the order of their names.
std::string index_of(const std::vector<Shard>& shards) {
  std::map<std::string, std::string> shard_of;
  uint64_t total_size = 0;
  for (const Shard& shard : shards)
    for (const TensorToWrite* tensor : shard.tensors) {
      shard_of[tensor->name] = shard.name;
      total_size += num_bytes_of(*tensor);
    }
  std::vector<std::string> lines;
  for (const auto& [tensor, shard] : shard_of)
    lines.push_back(fmt::format("    {}: \"{}\"", json_text(tensor, "tensor name"), shard));
  return fmt::format("{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{\n{}\n  }}\n}}\n",
                     total_size, fmt::join(lines, ",\n"));
}

// Weights that an earlier save left in the folder and `kept` does not name.
std::vector<fs::path> stale_files(const fs::path& folder, const std::set<std::string>& kept) {
  static const std::regex is_shard(R"(model-\d{5,}-of-\d{5,}\.safetensors)");
  std::vector<fs::path> stale;
  std::error_code unreadable;  // writing there fails with a message
  for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
    const std::string name = entry.path().filename().string();
    const bool is_ours = name == kSingleFile || name == kIndexFile || std::regex_match(name, is_shard);
    if (is_ours && !kept.contains(name)) stale.push_back(entry.path());
  }
  return stale;
}

void remove_file(const fs::path& path) {
  std::error_code error;
  if (!fs::remove(path, error) && error)
    throw core::user_error(fmt::format("cannot remove {} of an earlier save: {}", path.string(), error.message()),
                           "remove it by hand: it would be taken for a part of the new one");
}

}  // namespace

std::vector<core::WrittenFile> write_safetensors_folder(const fs::path& folder,
                                                        const std::vector<TensorToWrite>& tensors,
                                                        const std::map<std::string, std::string>& metadata,
                                                        uint64_t max_shard_bytes) {
  TT_CHECK(max_shard_bytes > 0, "shards of 0 bytes");
  check_tensors(tensors);
  const std::vector<Shard> shards = deal_out(tensors, max_shard_bytes);
  std::set<std::string> kept;
  std::vector<std::unique_ptr<core::AtomicFile>> files;
  for (const Shard& shard : shards) {
    kept.insert(shard.name);
    files.push_back(std::make_unique<core::AtomicFile>(folder / shard.name, core::Content::Bulk));
    write_content(*files.back(), shard.tensors, metadata);
    files.back()->flush();
  }
  std::unique_ptr<core::AtomicFile> index;
  if (shards.size() > 1) {
    kept.insert(kIndexFile);
    index = std::make_unique<core::AtomicFile>(folder / kIndexFile);
    index->write(index_of(shards));
    index->flush();
    // From here on names change. An index of before must not lead to shards of now.
    remove_file(folder / kIndexFile);
    core::sync_folder(folder);
  }
  std::vector<core::WrittenFile> written;
  for (const auto& file : files) written.push_back(file->commit());
  if (index != nullptr) written.push_back(index->commit());
  for (const fs::path& path : stale_files(folder, kept)) remove_file(path);
  core::sync_folder(folder);
  return written;
}

}  // namespace thinktune::weights
