// The system calls that change files, in one place: tests stand between the program and the disk there, and let calls
// fail or the power go.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>

namespace thinktune::core {

// Each function is the system call of its name: -1 and errno when it fails. May be called by several threads.
class FileLayer {
 public:
  virtual ~FileLayer() = default;
  virtual int open(const std::filesystem::path& path, int flags);  // files are made with mode 0644
  virtual ssize_t write(int fd, const void* data, size_t num_bytes);
  virtual int truncate(int fd, off_t num_bytes);
  virtual int sync(int fd);
  virtual int use_cache(int fd);  // takes back O_DIRECT of open
  virtual int close(int fd);
  virtual int rename(const std::filesystem::path& from, const std::filesystem::path& to);
  virtual int remove(const std::filesystem::path& path);  // a file or an empty folder
  virtual int make_folder(const std::filesystem::path& path);
};

// The disk, or what stands in its place.
FileLayer& files();

// For tests: `layer` in place of what was there, which is returned; null: the disk. To be called while nobody writes.
FileLayer* replace_files(FileLayer* layer);

}  // namespace thinktune::core
