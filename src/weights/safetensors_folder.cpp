// A Hugging Face folder: one file, or the shards of an index {"weight_map": {tensor: shard}}.
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"
#include "thinktune/weights/safetensors.h"
#include "weights/checks.h"
#include "weights/strict_json.h"

namespace thinktune::weights {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 100'000'000;  // as for a header
constexpr int kIndexDepth = 8;                    // weight_map takes 2; "metadata" is free

using Promises = std::map<std::string, std::vector<std::string>>;  // shard -> its tensors

// The shards lie beside the index: a name that leads elsewhere is a mistake or an attack.
bool stays_in_folder(const std::string& shard) {
  return !shard.empty() && shard != "." && shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
         shard.find("..") == std::string::npos;
}

// What to do about a folder without safetensors, from what it holds instead.
core::Error no_weights(const fs::path& folder) {
  std::string pickle, gguf;
  std::error_code unreadable;  // as if it were empty
  for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
    const std::string name = entry.path().filename().string(), extension = entry.path().extension().string();
    const bool is_pickle = name == "pytorch_model.bin.index.json" || extension == ".bin" || extension == ".pth" ||
                           extension == ".pt" || extension == ".ckpt";
    std::string& kind = is_pickle ? pickle : gguf;
    if ((is_pickle || extension == ".gguf") && (kind.empty() || name < kind)) kind = name;
  }
  const std::string message = fmt::format("{} holds neither {} nor {}", folder.string(), kSingleFile, kIndexFile);
  if (!gguf.empty())
    return core::data_error(message, fmt::format("give the GGUF file itself: {}", (folder / gguf).string()));
  if (!pickle.empty())
    return core::data_error(
        fmt::format("{}, but {}", message, shown(pickle)),
        "pickles run code when they are read, so they are not; convert to safetensors: load the folder "
        "with transformers and save_pretrained(NEW_FOLDER, safe_serialization=True)");
  return core::data_error(message,
                          "give a folder in the layout of Hugging Face with weights in the safetensors format");
}

Promises read_index(const fs::path& path) {
  const std::string where = path.string();
  const core::MappedFile file(path);
  if (file.size() > kMaxIndexBytes)
    throw core::data_error(
        fmt::format("{}: {} bytes are no index (at most {} are read)", where, file.size(), kMaxIndexBytes));
  const nlohmann::json index =
      parse_strict_json({reinterpret_cast<const char*>(file.data()), file.size()}, where, kIndexDepth);
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
    if (!name.ends_with(".safetensors"))
      throw core::data_error(
          fmt::format("{}: the shard {} of tensor {} is no .safetensors file", where, shown(name), shown(tensor)));
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
  if (const fs::path single = core::inner_file(folder, kSingleFile); is_there(single))
    return std::make_unique<Safetensors>(single);
  const fs::path index = core::inner_file(folder, kIndexFile);
  if (!is_there(index)) throw no_weights(folder);

  std::unique_ptr<Safetensors> source(new Safetensors());  // its constructor is private
  source->where_ = folder.string();
  const Promises promises = read_index(index);
  std::vector<TensorInfo> tensors;
  std::vector<std::string> shard_of;  // each tensor's
  for (const auto& [shard, promised] : promises) {
    if (!is_there(folder / shard))
      throw core::data_error(fmt::format("{}: the shard {} is not there", index.string(), shard),
                             "fetch the missing file into the folder");
    source->add_file(core::inner_file(folder, shard), tensors);
    std::unordered_set<std::string_view> held;
    for (size_t i = shard_of.size(); i < tensors.size(); ++i) held.insert(tensors[i].name);
    for (const std::string& tensor : promised)
      if (!held.contains(tensor))
        throw core::data_error(
            fmt::format("{}: the shard {} lacks the tensor {}", index.string(), shard, shown(tensor)));
    shard_of.resize(tensors.size(), shard);
  }
  std::unordered_map<std::string_view, size_t> first;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].name;
    const auto [found, is_new] = first.emplace(name, i);
    if (!is_new)
      throw core::data_error(fmt::format("{}: the tensor {} is both in {} and in {}", folder.string(), shown(name),
                                         shard_of[found->second], shard_of[i]));
  }
  source->set_tensors(std::move(tensors));
  return source;
}

}  // namespace thinktune::weights
