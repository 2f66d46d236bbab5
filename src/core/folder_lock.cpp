#include "thinktune/core/folder_lock.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "thinktune/core/clock.h"
#include "thinktune/core/error.h"
#include "thinktune/core/untrusted.h"

namespace thinktune::core {
namespace {

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "an unknown machine";
}

std::string first_line(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "lock";
  check_own_file(file);
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd_ < 0)
    throw user_error(fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)),
                     "the folder must be writable: choose another output folder");
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    if (code == EWOULDBLOCK) {
      ::close(fd_);
      const std::string holder = first_line(file);
      throw user_error(fmt::format("another run is writing to {}{}", folder.string(),
                                   holder.empty() ? "" : fmt::format(": {}", holder)),
                       "wait for it or end it, or choose another output folder");
    }
    spdlog::warn("{} cannot be locked ({}): take care that no other run writes to this folder", folder.string(),
                 std::strerror(code));
  }
  const std::string holder = fmt::format("process {} on {}, since {}\n", ::getpid(), host_name(), utc_time_stamp());
  // Only for the message above; that the file is locked does not depend on it.
  [[maybe_unused]] const bool told =
      ::ftruncate(fd_, 0) == 0 && ::write(fd_, holder.data(), holder.size()) == std::ssize(holder);
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace thinktune::core
