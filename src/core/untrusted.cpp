#include "thinktune/core/untrusted.h"

#include <algorithm>

#include "thinktune/core/error.h"

namespace thinktune::core {
namespace fs = std::filesystem;
namespace {

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// For a message: what a name does to a terminal is its writer's choice.
std::string shown(std::string_view name) {
  std::string text(name.substr(0, 100));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

// `file` and `folder` are canonical.
bool is_within(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
}

// HUB/models--A--B/snapshots/REVISION → HUB/models--A--B/blobs; empty for any other folder.
fs::path blobs_of(const fs::path& folder) {
  const fs::path snapshots = folder.parent_path();
  return snapshots.filename() == "snapshots" ? snapshots.parent_path() / "blobs" : fs::path();
}

}  // namespace

fs::path inner_file(const fs::path& folder, std::string_view name, uint64_t max_bytes) {
  if (!is_plain_name(name))
    throw data_error(fmt::format("{}: \"{}\" is no name of a file in this folder", folder.string(), shown(name)));
  fs::path path = folder / name;
  std::error_code absent;
  const fs::file_status status = fs::status(path, absent);
  if (absent || status.type() == fs::file_type::not_found) return path;
  if (status.type() != fs::file_type::regular)
    throw data_error(fmt::format("{} is not a regular file", path.string()), "fetch the model again");
  const fs::path real = fs::canonical(path, absent), home = fs::canonical(folder, absent);
  if (absent) return path;
  const fs::path blobs = blobs_of(home);
  if (!is_within(real, home) && (blobs.empty() || real.parent_path() != blobs))
    throw data_error(fmt::format("{} is a link that leads out of its folder, to {}", path.string(), real.string()),
                     "a model's files must lie in its folder: put the file itself there if you trust it");
  if (const uintmax_t bytes = fs::file_size(real, absent); !absent && bytes > max_bytes)
    throw data_error(fmt::format("{} has {} bytes; at most {} are read", path.string(), bytes, max_bytes),
                     "the file is not what its name says: fetch it again");
  return path;
}

void check_own_file(const fs::path& file) {
  std::error_code unknown;  // opening it says why
  const fs::file_status status = fs::symlink_status(file, unknown);
  if (unknown || status.type() == fs::file_type::not_found || status.type() == fs::file_type::regular) return;
  throw user_error(fmt::format("{} is {}, and would be written to", file.string(),
                               status.type() == fs::file_type::symlink ? "a link" : "not a regular file"),
                   "a run writes to files of its own folder only: remove it, or choose another output folder");
}

bool is_nested_deeper(std::string_view text, int limit) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

void check_json_depth(std::string_view text, const std::string& where) {
  if (is_nested_deeper(text)) throw data_error(fmt::format("{}: nested deeper than {} levels", where, kMaxJsonDepth));
}

}  // namespace thinktune::core
