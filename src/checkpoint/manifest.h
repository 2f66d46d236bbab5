// The manifest: which files a checkpoint has, how long they are, and their checksums.
#pragma once

#include <filesystem>
#include <vector>

#include "thinktune/core/atomic_file.h"

namespace thinktune::checkpoint {

inline constexpr const char* kManifestName = "manifest.json";

// Writes the manifest of these files of the folder.
void write_manifest(const std::filesystem::path& folder, const std::vector<core::WrittenFile>& files);

// Throws Error{Data} if the manifest is missing or malformed, or a file is missing, longer, shorter, or has another
// checksum.
void verify_manifest(const std::filesystem::path& folder);

}  // namespace thinktune::checkpoint
