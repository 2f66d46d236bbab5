// The manifest: which files a checkpoint has, how long they are, and their checksums.
#pragma once

#include <filesystem>

namespace thinktune::checkpoint {

inline constexpr const char* kManifestName = "manifest.json";

// Writes the manifest of all regular files in the folder, and flushes each of them to the disk.
void write_manifest(const std::filesystem::path& folder);

// Throws Error{Data} if the manifest is missing or malformed, or a file is missing, longer, shorter, or has another
// checksum.
void verify_manifest(const std::filesystem::path& folder);

}  // namespace thinktune::checkpoint
