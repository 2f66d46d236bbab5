#include "thinktune/core/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <utility>

#include "support/errors.h"
#include "support/paths.h"
#include "thinktune/core/error.h"

namespace thinktune::core {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

// From here on no file may grow beyond `num_bytes`: what a full disk looks like to the code (a short write, then an
// error).
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t num_bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{num_bytes, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_limit_{};
  void (*old_handler_)(int) = nullptr;
};

TEST(AtomicFile, IsThereAfterCommitAndNotBefore) {
  const test::TempFolder folder;
  const fs::path target = folder.path() / "a.txt";
  AtomicFile file(target);
  file.write("one ");
  file.write("two", 3);
  EXPECT_FALSE(fs::exists(target));
  file.commit();
  EXPECT_EQ(read_file(target, "test"), "one two");
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("a.txt"));
}

TEST(AtomicFile, ReplacesAnOlderFile) {
  const test::TempFolder folder;
  const fs::path target = folder.path() / "a.txt";
  write_file_atomically(target, "a longer first content");
  write_file_atomically(target, "second");
  EXPECT_EQ(read_file(target, "test"), "second");
}

TEST(AtomicFile, MayBeEmptyAndMayHoldZeros) {
  const test::TempFolder folder;
  write_file_atomically(folder.path() / "empty", "");
  EXPECT_EQ(fs::file_size(folder.path() / "empty"), 0u);
  EXPECT_EQ(read_file(folder.path() / "empty", "test"), "");
  const std::string zeros(5000, '\0');
  write_file_atomically(folder.path() / "zeros", zeros);
  EXPECT_EQ(read_file(folder.path() / "zeros", "test"), zeros);
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  const test::TempFolder folder;
  const fs::path target = folder.path() / "a.txt";
  write_file_atomically(target, "old");
  {
    AtomicFile file(target);
    file.write("half of the new con");
  }
  EXPECT_EQ(read_file(target, "test"), "old");
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("a.txt"));
}

TEST(AtomicFile, RefusesAMissingFolder) {
  const test::TempFolder folder;
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { AtomicFile(folder.path() / "no-such-folder" / "a.txt"); }),
              AllOf(HasSubstr("no-such-folder/a.txt"), HasSubstr("No such file or directory")));
}

TEST(AtomicFile, RefusesAFolderThatTakesNoFiles) {
  // /proc refuses new files even to root, who may write everywhere else.
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [] { AtomicFile("/proc/thinktune-test"); }),
              HasSubstr("/proc/thinktune-test"));
}

TEST(AtomicFile, RefusesAReadOnlyFolderWithAHint) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write into a read-only folder";
  const test::TempFolder folder;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  try {
    AtomicFile file(folder.path() / "a.txt");
    ADD_FAILURE() << "the file was made";
  } catch (const Error& error) {
    EXPECT_THAT(error.hint(), HasSubstr("choose another output folder"));
  }
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(AtomicFile, AFullDiskLeavesTheOldFileUntouched) {
  const test::TempFolder folder;
  const fs::path target = folder.path() / "a.txt";
  write_file_atomically(target, "old");
  const std::string large(100000, 'x');
  const std::string message = test::message_of_error(ErrorKind::User, [&] {
    const FileSizeLimit limit(65536);
    write_file_atomically(target, large);
  });
  EXPECT_THAT(message, AllOf(HasSubstr("a.txt"), HasSubstr(std::strerror(EFBIG))));
  EXPECT_EQ(read_file(target, "test"), "old");
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("a.txt"));
}

TEST(AtomicFile, ATargetThatIsAFolderStaysAndTheTemporaryFileGoes) {
  const test::TempFolder folder;
  fs::create_directory(folder.path() / "a");
  write_file_atomically(folder.path() / "a" / "inside", "kept");
  EXPECT_THROW(write_file_atomically(folder.path() / "a", "new"), Error);
  EXPECT_EQ(read_file(folder.path() / "a" / "inside", "test"), "kept");
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("a"));
}

TEST(AtomicFile, FlushTakesNoNameYet) {
  const test::TempFolder folder;
  AtomicFile file(folder.path() / "file");
  file.write("one ");
  file.flush();
  EXPECT_FALSE(fs::exists(folder.path() / "file"));
  file.write("two");
  file.commit();
  EXPECT_EQ(read_file(folder.path() / "file", "test file"), "one two");
  EXPECT_THROW(file.flush(), Error);
}

TEST(AtomicFile, UseAfterCommitIsABug) {
  const test::TempFolder folder;
  AtomicFile file(folder.path() / "a.txt");
  file.commit();
  EXPECT_THROW(file.write("more"), Error);
  EXPECT_THROW(file.commit(), Error);
}

TEST(ReadFile, NamesWhatIsMissing) {
  const test::TempFolder folder;
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { read_file(folder.path() / "config.json", "config"); }),
              AllOf(HasSubstr("cannot open the config"), HasSubstr("config.json")));
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { read_file(folder.path(), "config"); }),
              HasSubstr("is a folder, not a file"));
}

TEST(MappedFile, HoldsTheContent) {
  const test::TempFolder folder;
  const fs::path path = folder.path() / "data";
  std::string content(70001, '\0');  // more than one page, and no whole number of them
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  write_file_atomically(path, content);
  const MappedFile file(path);
  ASSERT_EQ(file.size(), content.size());
  EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
  EXPECT_EQ(file.path(), path);
}

TEST(MappedFile, MayBeEmpty) {
  const test::TempFolder folder;
  write_file_atomically(folder.path() / "empty", "");
  const MappedFile file(folder.path() / "empty");
  EXPECT_EQ(file.size(), 0u);
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  const test::TempFolder folder;
  const auto message_of = [](const fs::path& path) -> std::string {
    try {
      const MappedFile file(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::User);
      return error.message();
    }
    return "";
  };
  EXPECT_THAT(message_of(folder.path() / "missing"), HasSubstr("No such file"));
  EXPECT_THAT(message_of(folder.path()), HasSubstr("is not a regular file"));
  EXPECT_THAT(message_of("/dev/null"), HasSubstr("is not a regular file"));
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(message_of(pipe), HasSubstr("is not a regular file"));
}

TEST(MappedFile, HoldsTheContentAfterItsPagesWereDiscarded) {
  const test::TempFolder folder;
  std::string content(100'000, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  write_file_atomically(folder.path() / "file", content);
  const MappedFile file(folder.path() / "file");
  const std::span<const std::byte> bytes(file.data(), file.size());
  for (const auto& part :
       {bytes, bytes.subspan(1), bytes.subspan(5000, 20'000), bytes.subspan(10, 5), bytes.first(0)}) {
    EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
    discard_pages(part);
  }
  EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
  discard_pages({});
}

TEST(MappedFile, MovesItsMapping) {
  const test::TempFolder folder;
  write_file_atomically(folder.path() / "a", "aaaa");
  write_file_atomically(folder.path() / "b", "bb");
  MappedFile a(folder.path() / "a");
  const std::byte* address = a.data();
  MappedFile moved(std::move(a));
  EXPECT_EQ(moved.data(), address);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT(bugprone-use-after-move): the moved-from state is part of the contract
  EXPECT_EQ(a.size(), 0u);
  moved = MappedFile(folder.path() / "b");
  EXPECT_EQ(moved.size(), 2u);
  EXPECT_EQ(static_cast<char>(moved.data()[1]), 'b');
}

}  // namespace
}  // namespace thinktune::core
