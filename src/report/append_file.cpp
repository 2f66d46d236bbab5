#include "report/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/file_layer.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::report {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* verb, int code) {
  const char* hint = "";
  if (code == ENOSPC || code == EDQUOT)
    hint = "the disk is full: free some space; the rows before this one are untouched";
  if (code == EFBIG)
    hint = "a limit on the size of files was reached (ulimit -f): raise it; the rows before this one are untouched";
  if (code == EACCES || code == EROFS || code == EPERM)
    hint = "the folder is not writable: choose another output folder";
  throw core::user_error(fmt::format("cannot {} {}: {}", verb, path.string(), std::strerror(code)), hint);
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  core::check_own_file(path_);
  const bool is_new = !std::filesystem::exists(path_);
  fd_ = core::files().open(path_, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
  if (fd_ < 0) fail(path_, "write", errno);
  struct stat info {};
  if (::fstat(fd_, &info) != 0) {
    const int code = errno;
    ::close(fd_);
    fail(path_, "look at", code);
  }
  size_ = static_cast<uint64_t>(info.st_size);
  if (is_new) core::sync_folder(path_.parent_path());
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) core::files().close(fd_);
}

void AppendFile::check_still_there() const {
  struct stat info {};
  if (::fstat(fd_, &info) == 0 && info.st_nlink == 0) throw core::removed_meanwhile(path_);
}

void AppendFile::append(std::string_view data) {
  check_still_there();
  const char* next = data.data();
  size_t left = data.size();
  while (left > 0) {
    const ssize_t written = core::files().write(fd_, next, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int code = errno;
      // Half a row would make the next one unreadable too. If even this fails, a resumed run drops the unfinished line.
      [[maybe_unused]] const int ignored = core::files().truncate(fd_, static_cast<off_t>(size_));
      fail(path_, "write", code);
    }
    next += written;
    left -= static_cast<size_t>(written);
  }
  size_ += data.size();
}

void AppendFile::cut_to(uint64_t num_bytes) {
  if (num_bytes == size_) return;
  TT_CHECK(num_bytes < size_, "{} has {} bytes, cut to {}", path_.string(), size_, num_bytes);
  if (core::files().truncate(fd_, static_cast<off_t>(num_bytes)) != 0) fail(path_, "shorten", errno);
  size_ = num_bytes;
}

void AppendFile::sync() {
  check_still_there();
  if (core::files().sync(fd_) != 0 && errno != EINVAL)
    fail(path_, "flush", errno);  // EINVAL: a special file that cannot be flushed
}

}  // namespace thinktune::report
