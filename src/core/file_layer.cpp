#include "thinktune/core/file_layer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace thinktune::core {
namespace {

FileLayer& disk() {
  static FileLayer layer;
  return layer;
}

std::atomic<FileLayer*> replacement{nullptr};

}  // namespace

int FileLayer::open(const std::filesystem::path& path, int flags) { return ::open(path.c_str(), flags, 0644); }
ssize_t FileLayer::write(int fd, const void* data, size_t num_bytes) { return ::write(fd, data, num_bytes); }
int FileLayer::truncate(int fd, off_t num_bytes) { return ::ftruncate(fd, num_bytes); }
int FileLayer::sync(int fd) { return ::fsync(fd); }
int FileLayer::use_cache(int fd) { return ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_DIRECT); }
int FileLayer::close(int fd) { return ::close(fd); }
int FileLayer::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  return ::rename(from.c_str(), to.c_str());
}
int FileLayer::remove(const std::filesystem::path& path) { return std::remove(path.c_str()); }
int FileLayer::make_folder(const std::filesystem::path& path) { return ::mkdir(path.c_str(), 0755); }

FileLayer& files() {
  FileLayer* layer = replacement.load();
  return layer != nullptr ? *layer : disk();
}

FileLayer* replace_files(FileLayer* layer) { return replacement.exchange(layer); }

}  // namespace thinktune::core
