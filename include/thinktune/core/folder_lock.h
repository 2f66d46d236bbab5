// One process at a time in a folder.
#pragma once

#include <filesystem>

namespace thinktune::core {

// Holds <folder>/lock, a file that names its holder, until it is destroyed or the process ends, however it ends. The
// file stays there.
class FolderLock {
 public:
  // Throws Error{User} if another process holds it, naming that process, or if the file cannot be made. A file system
  // without locks is warned of: nothing can be said about other processes then.
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int fd_ = -1;
};

}  // namespace thinktune::core
