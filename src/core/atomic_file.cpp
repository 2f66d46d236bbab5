#include "thinktune/core/atomic_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "thinktune/core/error.h"

namespace thinktune::core {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_writing(const fs::path& path, const char* verb) {
  const int code = errno;
  const char* hint = "";
  if (code == ENOSPC) hint = "the disk is full: free some space; what was saved before is untouched";
  if (code == EDQUOT) hint = "the disk quota is used up: free some space; what was saved before is untouched";
  if (code == EFBIG)
    hint = "a limit on the size of files was reached (ulimit -f): raise it; what was saved before is untouched";
  if (code == EACCES || code == EROFS || code == EPERM)
    hint = "the folder is not writable: choose another output folder";
  if (code == ENOENT || code == ENOTDIR) hint = "the folder is not there: make it first, or choose another one";
  throw user_error(fmt::format("cannot {} {}: {}", verb, path.string(), std::strerror(code)), hint);
}

}  // namespace

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)) {
  temporary_ = target_;
  temporary_ += fmt::format(".tmp-{}", ::getpid());
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_writing(target_, "write");
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t num_bytes) {
  TT_CHECK(fd_ >= 0, "write to {} after commit", target_.string());
  const char* next = static_cast<const char*>(data);
  while (num_bytes > 0) {
    const ssize_t written = ::write(fd_, next, num_bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_writing(target_, "write");
    next += written;
    num_bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::flush() {
  TT_CHECK(fd_ >= 0, "flush of {} after commit", target_.string());
  if (::fsync(fd_) != 0) fail_writing(target_, "flush");
}

void AtomicFile::commit() {
  TT_CHECK(fd_ >= 0, "commit of {} twice", target_.string());
  flush();
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0 || ::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary_.c_str());
    errno = code;
    fail_writing(target_, "replace");
  }
  sync_folder(target_.parent_path());
}

void write_file_atomically(const fs::path& target, std::string_view content) {
  AtomicFile file(target);
  file.write(content);
  file.commit();
}

void sync_folder(const fs::path& folder) {
  const fs::path where = folder.empty() ? fs::path(".") : folder;
  const int fd = ::open(where.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_writing(where, "open");
  const int result = ::fsync(fd);
  ::close(fd);
  if (result != 0 && errno != EINVAL) fail_writing(where, "flush");  // EINVAL: a file system without folder sync
}

std::string read_file(const fs::path& path, std::string_view what) {
  std::error_code code;
  if (fs::is_directory(path, code))
    throw user_error(fmt::format("the {} {} is a folder, not a file", what, path.string()));
  std::ifstream in(path, std::ios::binary);
  if (!in) throw user_error(fmt::format("cannot open the {} {}: {}", what, path.string(), std::strerror(errno)));
  std::ostringstream content;
  content << in.rdbuf();
  if (in.bad()) throw data_error(fmt::format("cannot read the {} {}", what, path.string()));
  return std::move(content).str();
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for a writer
  if (fd < 0) throw user_error(fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    throw user_error(fmt::format("{} is not a regular file", path.string()));
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int code = errno;
    ::close(fd);
    if (mapped == MAP_FAILED)
      throw data_error(fmt::format("cannot map {} into memory: {}", path.string(), std::strerror(code)));
    data_ = static_cast<const std::byte*>(mapped);
  } else {
    ::close(fd);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void discard_pages(std::span<const std::byte> mapped) {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + mapped.size()) / page * page;
  // Values stay what they are whatever the system makes of it, so a refusal is no error.
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace thinktune::core
