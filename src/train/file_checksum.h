// The checksums that a downloaded model comes with.
#pragma once

#include <filesystem>
#include <string>

namespace thinktune::train {

// Hexadecimal. Throws Error{User} if the file cannot be read.
std::string sha256_of(const std::filesystem::path& file);
std::string git_blob_sha1_of(const std::filesystem::path& file);  // what git calls a file of this content

// What the Hub's tools have noted of folder / name: its SHA-256, or its name in git for small files. In the Hub's cache
// it is the name of what the link leads to; `hf download --local-dir` notes it in .cache/huggingface/download. Empty if
// there is none.
std::string noted_checksum(const std::filesystem::path& folder, const std::string& name);

// Whether the file has it; `noted` is a noted_checksum().
bool has_checksum(const std::filesystem::path& file, const std::string& noted);

}  // namespace thinktune::train
