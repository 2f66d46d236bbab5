// The host's memory that is left.
#pragma once

#include <cstdint>
#include <filesystem>

namespace thinktune::train {

// What this process and others may still take: of the machine, or of the control group (a container, a batch job) that
// it is in, whichever is less. A group's file cache that is not in use counts as free, as it does for the machine.
struct FreeMemory {
  int64_t bytes = 0;
  bool of_group = false;  // the group's limit is what binds
};

// Reads /proc and /sys/fs/cgroup (versions 1 and 2) below `root`. Without /proc/meminfo 0.
FreeMemory free_host_memory(const std::filesystem::path& root = "/");

}  // namespace thinktune::train
