// A SIGBUS that is no mapped file's is what it would have been.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>

#include "support/paths.h"
#include "thinktune/core/atomic_file.h"

namespace thinktune::core {
namespace {

namespace fs = std::filesystem;

// The status that a child process ends with.
int status_of(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGBUS, SIG_DFL);  // not a sanitizer's
    name_mapped_files_that_fail();
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

void expect_bus_error(int status) {
  ASSERT_TRUE(WIFSIGNALED(status)) << "ended with " << WEXITSTATUS(status);
  EXPECT_EQ(WTERMSIG(status), SIGBUS);
}

class MappedRanges : public testing::Test {
 protected:
  void SetUp() override { write_file_atomically(path_, std::string(kBytes, 'x')); }

  // Reads the end of the file through a mapping that MappedFile knows nothing of, when the file has become shorter.
  void read_unknown_mapping() const {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    const auto* bytes = static_cast<const volatile char*>(::mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, fd, 0));
    fs::resize_file(path_, 0);
    [[maybe_unused]] const char last = bytes[kBytes - 1];
  }

  static constexpr size_t kBytes = 1 << 16;
  test::TempFolder folder_;
  fs::path path_ = folder_.path() / "file";
};

TEST_F(MappedRanges, AnotherMappingsFaultKillsAsBefore) {
  expect_bus_error(status_of([&] { read_unknown_mapping(); }));
}

TEST_F(MappedRanges, AFileThatIsMappedNoMoreIsForgotten) {
  expect_bus_error(status_of([&] {
    { const MappedFile gone(path_); }
    read_unknown_mapping();  // the system gives it the same addresses
  }));
}

TEST_F(MappedRanges, ASignalThatWasSentKillsAsBefore) {
  expect_bus_error(status_of([&] {
    const MappedFile file(path_);
    ::kill(::getpid(), SIGBUS);
  }));
}

TEST_F(MappedRanges, AHandlerFromBeforeIsCalled) {
  const int status = status_of([&] {
    ::signal(SIGBUS, [](int) { ::_exit(77); });
    name_mapped_files_that_fail();
    read_unknown_mapping();
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 77);
}

TEST_F(MappedRanges, AMovedFileIsStillKnown) {
  const int status = status_of([&] {
    std::optional<MappedFile> first(path_);
    const MappedFile file = std::move(*first);
    first.reset();
    fs::resize_file(path_, 0);
    [[maybe_unused]] const auto last = *static_cast<const volatile std::byte*>(file.data() + kBytes - 1);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), exit_code(ErrorKind::Data));
}

}  // namespace
}  // namespace thinktune::core
