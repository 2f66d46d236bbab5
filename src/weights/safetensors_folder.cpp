// A Hugging Face folder: one file, or the shards of an index {"weight_map": {tensor: shard}}.
#include <unordered_map>
#include <unordered_set>

#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"
#include "weights/checks.h"
#include "weights/strict_json.h"

namespace thinktune::weights {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr int kIndexDepth = 8;  // weight_map takes 2; "metadata" is free

using Promises = std::map<std::string, std::vector<std::string>>;  // shard -> its tensors

// The shards lie beside the index: a name that leads elsewhere is a mistake or an attack.
bool stays_in_folder(const std::string& shard) {
  return !shard.empty() && shard != "." && shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
         shard.find("..") == std::string::npos;
}

Promises read_index(const fs::path& path) {
  const std::string where = path.string();
  const nlohmann::json index = parse_strict_json(core::read_file(path, "index of the shards"), where, kIndexDepth);
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object() || weight_map->empty())
    throw core::data_error(fmt::format("{}: no weight_map with tensors in it", where));
  Promises promises;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string())
      throw core::data_error(fmt::format("{}: the shard of tensor {} is not a text", where, shown(tensor)));
    const auto& name = shard.get_ref<const std::string&>();
    if (!stays_in_folder(name))
      throw core::data_error(fmt::format("{}: the shard {} of tensor {} is not a file name in this folder", where,
                                         shown(name), shown(tensor)));
    promises[name].push_back(tensor);
  }
  return promises;
}

bool is_there(const fs::path& path) {
  std::error_code unreadable;  // counts as absent; a dangling link too
  return fs::exists(path, unreadable);
}

}  // namespace

std::unique_ptr<TensorSource> open_safetensors_folder(const fs::path& folder) {
  if (is_there(folder / kSingleFile)) return std::make_unique<Safetensors>(folder / kSingleFile);
  const fs::path index = folder / kIndexFile;
  if (!is_there(index))
    throw core::data_error(fmt::format("{} holds neither {} nor {}", folder.string(), kSingleFile, kIndexFile),
                           "give a folder in the layout of Hugging Face with weights in the safetensors format");

  std::unique_ptr<Safetensors> source(new Safetensors());  // its constructor is private
  source->where_ = folder.string();
  const Promises promises = read_index(index);
  std::vector<std::string> shard_of;  // each tensor's
  for (const auto& [shard, promised] : promises) {
    if (!is_there(folder / shard))
      throw core::data_error(fmt::format("{}: the shard {} is not there", index.string(), shard),
                             "fetch the missing file into the folder");
    source->add_file(folder / shard);
    std::unordered_set<std::string_view> held;
    for (size_t i = shard_of.size(); i < source->tensors_.size(); ++i) held.insert(source->tensors_[i].name);
    for (const std::string& tensor : promised)
      if (!held.contains(tensor))
        throw core::data_error(
            fmt::format("{}: the shard {} lacks the tensor {}", index.string(), shard, shown(tensor)));
    shard_of.resize(source->tensors_.size(), shard);
  }
  std::unordered_map<std::string_view, size_t> first;
  for (size_t i = 0; i < source->tensors_.size(); ++i) {
    const std::string& name = source->tensors_[i].name;
    const auto [found, is_new] = first.emplace(name, i);
    if (!is_new)
      throw core::data_error(fmt::format("{}: the tensor {} is both in {} and in {}", folder.string(), shown(name),
                                         shard_of[found->second], shard_of[i]));
  }
  return source;
}

}  // namespace thinktune::weights
