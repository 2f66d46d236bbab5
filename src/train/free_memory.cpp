#include "free_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace thinktune::train {
namespace fs = std::filesystem;
namespace {

// A file of one number; none if it is not there or holds a word ("max").
std::optional<int64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  int64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// The number behind a name in a file of lines "NAME NUMBER"; 0 if there is none.
int64_t number_of(const fs::path& file, const std::string& name) {
  std::ifstream in(file);
  std::string word;
  for (int64_t number = 0; in >> word >> number; in.ignore(std::numeric_limits<std::streamsize>::max(), '\n'))
    if (word == name) return number;
  return 0;
}

// The files of a version of control groups.
struct Version {
  const char* folder;  // its hierarchy
  const char *limit, *used, *cache;
};
constexpr Version kOne = {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                          "total_inactive_file"};
constexpr Version kTwo = {"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};

// Of the group and of those that it is in. In a container the group's path may be the host's, which is not there: then
// the hierarchy's top is the container's own.
std::optional<int64_t> free_of_group(const fs::path& root, const Version& version, const fs::path& group) {
  std::optional<int64_t> least;
  const fs::path top = root / version.folder;
  fs::path relative = group.relative_path().lexically_normal();
  if (relative.empty() || *relative.begin() == "..") relative = ".";
  for (;; relative = relative.has_parent_path() ? relative.parent_path() : ".") {
    const fs::path folder = top / relative;
    const auto limit = number_in(folder / version.limit), used = number_in(folder / version.used);
    if (limit && used) {
      const int64_t cache = number_of(folder / "memory.stat", version.cache);
      const int64_t free = std::max<int64_t>(0, *limit - std::max<int64_t>(0, *used - cache));
      least = std::min(least.value_or(free), free);
    }
    if (relative == ".") return least;
  }
}

}  // namespace

FreeMemory free_host_memory(const fs::path& root) {
  FreeMemory free{.bytes = number_of(root / "proc/meminfo", "MemAvailable:") * 1024};
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "4:memory:/path", "0::/path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const Version* version = controllers == ",,"                                 ? &kTwo
                             : controllers.find(",memory,") != std::string::npos ? &kOne
                                                                                 : nullptr;
    if (version == nullptr) continue;
    const std::optional<int64_t> of_group = free_of_group(root, *version, line.substr(second + 1));
    if (of_group && *of_group < free.bytes) free = {*of_group, true};
  }
  return free;
}

}  // namespace thinktune::train
