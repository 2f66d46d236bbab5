#include "manifest.h"

#include <algorithm>
#include <climits>
#include <map>
#include <nlohmann/json.hpp>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::checkpoint {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

std::string shown(uint64_t xxh3) { return fmt::format("{:016x}", xxh3); }

[[noreturn]] void damaged(const fs::path& folder, const std::string& why) {
  throw core::data_error(fmt::format("the checkpoint {} is damaged: {}", folder.string(), why));
}

// Of a file in this folder, and fit for a message.
bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= NAME_MAX &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) { return c == '/' || c < 0x20 || c == 0x7f; });
}

// Without these there is nothing to go on from; what else a model's folder has depends on the model.
void check_listed(const json& files, const fs::path& folder) {
  for (const char* name : {kStateName, kTensorsName, "config.json"})
    if (!files.contains(name)) damaged(folder, fmt::format("its manifest does not list {}", name));
  if (!files.contains("model.safetensors") && !files.contains("model.safetensors.index.json"))
    damaged(folder, "its manifest does not list model.safetensors, nor the index of its parts");
}

std::vector<std::string> unlisted_in(const fs::path& folder, const json& files) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != kManifestName && !name.starts_with('.') && !files.contains(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

void write_manifest(const fs::path& folder, const std::vector<core::WrittenFile>& files) {
  std::map<std::string, json> by_name;
  for (const core::WrittenFile& file : files)
    by_name[file.name] = {{"bytes", file.num_bytes}, {"xxh3", shown(file.xxh3)}};
  core::write_file_atomically(folder / kManifestName, json{{"format", 1}, {"files", by_name}}.dump(2) + "\n");
}

std::vector<std::string> verify_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  if (!fs::exists(path)) damaged(folder, "it has no manifest, so it was never completed");
  const std::string text =
      core::read_file(core::inner_file(folder, kManifestName, core::kMaxSideFileBytes), "manifest");
  core::check_json_depth(text, path.string());
  const json manifest = json::parse(text, nullptr, false);
  if (!manifest.is_object() || manifest.value("format", json()) != 1 || !manifest.contains("files") ||
      !manifest["files"].is_object())
    damaged(folder, "its manifest cannot be read");
  for (const auto& [name, facts] : manifest["files"].items()) {
    if (!is_name(name) || !facts.is_object() || !facts.value("bytes", json()).is_number_unsigned())
      damaged(folder, "its manifest cannot be read");
    if (!fs::is_regular_file(folder / name)) damaged(folder, fmt::format("{} is missing", name));
    const fs::path file = core::inner_file(folder, name);
    const auto written = facts["bytes"].get<uint64_t>();
    if (const uint64_t there = fs::file_size(file); there != written)
      damaged(folder, fmt::format("{} has {} bytes, {} were written", name, there, written));
    if (facts.value("xxh3", json()) != shown(core::facts_of(file, "checkpoint's file").xxh3))
      damaged(folder, fmt::format("the checksum of {} is wrong", name));
  }
  check_listed(manifest["files"], folder);
  return unlisted_in(folder, manifest["files"]);
}

}  // namespace thinktune::checkpoint
