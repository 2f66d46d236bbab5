#include "mapped_ranges.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"

namespace thinktune::core {
namespace {

// Ranges are never taken out of the list, only used again, so that the handler may walk it at any moment.
struct Range {
  std::atomic<uintptr_t> begin{0};  // 0: free; what follows is changed only then
  size_t num_bytes = 0;
  std::string path;
  Range* next = nullptr;
};
std::atomic<Range*> ranges{nullptr};
std::mutex changing;
struct sigaction before;

// From here on what may be called in a handler: atomics, stat, writev, _exit, sigaction, raise.
[[noreturn]] void end_for(const Range& range) {
  static std::atomic_flag said;
  while (said.test_and_set()) ::pause();  // another thread has met the same, and ends the process
  struct stat now {};
  const bool shorter =
      ::stat(range.path.c_str(), &now) == 0 && static_cast<uint64_t>(now.st_size) < uint64_t{range.num_bytes};
  const auto part = [](std::string_view text) { return iovec{const_cast<char*>(text.data()), text.size()}; };
  const iovec message[] = {
      part("error: "), part(range.path),
      part(shorter ? " became shorter while it was read\n  something else writes to it, a download or a copy: let that "
                     "end, see that the file is whole, and begin again\n"
                   : " could not be read any more\n  its disk reports an error, or it was written anew meanwhile: see "
                     "that the file is whole, and begin again\n"),
      part(last_words())};
  [[maybe_unused]] const ssize_t ignored = ::writev(STDERR_FILENO, message, std::size(message));
  ::_exit(exit_code(ErrorKind::Data));
}

void on_bus_error(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Range* range = ranges; range != nullptr && info->si_code == BUS_ADRERR; range = range->next) {
    const uintptr_t begin = range->begin;
    if (begin != 0 && address >= begin && address - begin < range->num_bytes) end_for(*range);
  }
  // Not ours: what would have happened without us. The instruction that failed comes again, a signal that was sent
  // does not.
  ::sigaction(SIGBUS, &before, nullptr);
  if (info->si_code <= 0) ::raise(SIGBUS);
}

}  // namespace

void add_mapped_range(const std::byte* begin, size_t num_bytes, const std::filesystem::path& path) {
  const std::lock_guard lock(changing);
  Range* range = ranges;
  while (range != nullptr && range->begin != 0) range = range->next;
  if (range == nullptr) {
    range = new Range;
    range->next = ranges;
    ranges = range;
  }
  range->path = path.string();
  range->num_bytes = num_bytes;
  range->begin = reinterpret_cast<uintptr_t>(begin);
}

void remove_mapped_range(const std::byte* begin) noexcept {
  const std::lock_guard lock(changing);
  for (Range* range = ranges; range != nullptr; range = range->next)
    if (range->begin == reinterpret_cast<uintptr_t>(begin)) range->begin = 0;
}

void name_mapped_files_that_fail() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &before);
}

}  // namespace thinktune::core
