// The manifest: which files a checkpoint has, how long they are, and their checksums.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "thinktune/core/atomic_file.h"

namespace thinktune::checkpoint {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kStateName = "state.json";
inline constexpr const char* kTensorsName = "training_state.safetensors";

// Writes the manifest of these files of the folder.
void write_manifest(const std::filesystem::path& folder, const std::vector<core::WrittenFile>& files);

// Throws Error{Data} if the manifest is missing or malformed, does not list state, training state and model, or a file
// of it is missing, longer, shorter, or has another checksum. Returns the names of what else is in the folder, hidden
// files left out, in their order.
std::vector<std::string> verify_manifest(const std::filesystem::path& folder);

}  // namespace thinktune::checkpoint
