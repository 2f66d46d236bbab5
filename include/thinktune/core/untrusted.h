// Checks on what comes from elsewhere: model folders, checkpoints, JSON. Floor 0, so that every reader may use them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace thinktune::core {

// Largest of a model's files that are read whole (configs, tokenizers, templates); the largest tokenizer.json known has
// 33 MB.
constexpr uint64_t kMaxSideFileBytes = uint64_t{256} << 20;

// folder / name, after a look at it: the file is read only if it lies in `folder`. Throws Error{Data} for a name that
// is no plain file name ("../x", "/etc/passwd"), for something other than a regular file (a pipe would wait for ever),
// for more than `max_bytes`, and for a link that leads out of the folder. One place outside is a part of the folder:
// the Hub's cache, where snapshots/REVISION/NAME is a link to blobs/HASH beside snapshots. Nothing there: no error;
// opening it tells.
std::filesystem::path inner_file(const std::filesystem::path& folder, std::string_view name,
                                 uint64_t max_bytes = UINT64_MAX);

// Before a file of a run's folder is opened for writing: throws Error{User} where something else than a regular file
// stands there. A link would have what it leads to cut or overwritten, a pipe would wait for a reader.
void check_own_file(const std::filesystem::path& file);

// Deepest nesting of JSON that any reader takes. Parsing needs no recursion, but copying, comparing and printing do.
constexpr int kMaxJsonDepth = 64;

// Whether brackets in `text` are nested deeper than `limit`, those in quotes left out; the text need not be JSON.
bool is_nested_deeper(std::string_view text, int limit = kMaxJsonDepth);

// Throws Error{Data} "WHERE: nested deeper than 64 levels".
void check_json_depth(std::string_view text, const std::string& where);

}  // namespace thinktune::core
