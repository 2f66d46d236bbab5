#include "thinktune/core/atomic_file.h"

#include <fcntl.h>
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
#include "thinktune/core/file_layer.h"

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

std::string some_bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i * 7 + i / 4096);
  return bytes;
}

uint64_t xxh3_of_text(const std::string& text) { return xxh3_of(std::as_bytes(std::span(text))); }

// Counts what goes past the cache, and stands for file systems that cannot do that.
class Cache final : public FileLayer {
 public:
  enum class Takes { All, NoOpening, NoWriting } takes;

  explicit Cache(Takes what) : takes(what) { replace_files(this); }
  ~Cache() override { replace_files(nullptr); }

  int open(const fs::path& path, int flags) override {
    const bool past = (flags & O_DIRECT) != 0;
    if (past && takes == Takes::NoOpening) {
      errno = EINVAL;
      return -1;
    }
    past_ = past;
    return FileLayer::open(path, flags);
  }
  ssize_t write(int fd, const void* data, size_t num_bytes) override {
    if (past_ && takes == Takes::NoWriting) {
      errno = EINVAL;
      return -1;
    }
    if (past_) bytes_past += num_bytes;
    return FileLayer::write(fd, data, num_bytes);
  }
  int use_cache(int fd) override {
    past_ = false;
    return FileLayer::use_cache(fd);
  }

  size_t bytes_past = 0;

 private:
  bool past_ = false;
};

TEST(AtomicFile, SaysWhatItWrote) {
  const test::TempFolder folder;
  AtomicFile file(folder.path() / "a.txt");
  file.write("one ");
  file.write("two");
  const WrittenFile written = file.commit();
  EXPECT_EQ(written.name, "a.txt");
  EXPECT_EQ(written.num_bytes, 7U);
  EXPECT_EQ(written.xxh3, xxh3_of_text("one two"));
}

TEST(AtomicFile, BulkIsTheSameOfAnySizeOnAnyFileSystem) {
  const test::TempFolder folder;
  constexpr size_t kBuffer = size_t{4} << 20;
  for (const Cache::Takes takes : {Cache::Takes::All, Cache::Takes::NoOpening, Cache::Takes::NoWriting})
    for (const size_t size : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, kBuffer - 1, kBuffer,
                              kBuffer + 1, 2 * kBuffer + 1234567}) {
      SCOPED_TRACE(testing::Message() << size << " bytes, file system " << static_cast<int>(takes));
      const std::string content = some_bytes(size);
      const fs::path target = folder.path() / "bulk";
      Cache cache(takes);
      AtomicFile file(target, Content::Bulk);
      for (size_t at = 0, part = 8; at < size; at += part, part = part * 3 + 1)
        file.write(std::string_view(content).substr(at, part));
      const WrittenFile written = file.commit();
      EXPECT_EQ(written.num_bytes, size);
      EXPECT_EQ(written.xxh3, xxh3_of_text(content));
      EXPECT_TRUE(read_file(target, "test") == content);
      if (takes == Cache::Takes::All && cache.bytes_past > 0) EXPECT_EQ(cache.bytes_past, size / 4096 * 4096);
      if (takes != Cache::Takes::All) EXPECT_EQ(cache.bytes_past, 0U);
      EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("bulk"));
    }
}

TEST(AtomicFile, BulkOnAFullDiskSaysSoAndLeavesTheOldFileUntouched) {
  const test::TempFolder folder;
  const fs::path target = folder.path() / "a.bin";
  write_file_atomically(target, "old");
  for (const rlim_t limit_bytes : {65536, 70001}) {
    const std::string message = test::message_of_error(ErrorKind::User, [&] {
      const FileSizeLimit limit(limit_bytes);
      AtomicFile file(target, Content::Bulk);
      file.write(some_bytes(100000));
      file.commit();
    });
    EXPECT_THAT(message, AllOf(HasSubstr("a.bin"), HasSubstr(std::strerror(EFBIG))));
    EXPECT_EQ(read_file(target, "test"), "old");
    EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("a.bin"));
  }
}

TEST(AtomicFile, BulkMayGoOnAfterAFlush) {
  const test::TempFolder folder;
  const std::string content = some_bytes(30001);
  AtomicFile file(folder.path() / "file", Content::Bulk);
  file.write(std::string_view(content).substr(0, 8192));
  file.flush();
  file.write(std::string_view(content).substr(8192));
  EXPECT_EQ(file.commit().xxh3, xxh3_of_text(content));
  EXPECT_TRUE(read_file(folder.path() / "file", "test file") == content);
}

TEST(ReadFile, NamesWhatIsMissing) {
  const test::TempFolder folder;
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { read_file(folder.path() / "config.json", "config"); }),
              AllOf(HasSubstr("cannot open the config"), HasSubstr("config.json")));
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { read_file(folder.path(), "config"); }),
              HasSubstr("is a folder, not a file"));
}

TEST(ReadFile, PipesAndDevicesAreNoFiles) {
  const test::TempFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const fs::path& path : {pipe, fs::path("/dev/zero"), fs::path("/dev/null")})
    EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { read_file(path, "data file"); }),
                AllOf(HasSubstr(path.string()), HasSubstr("is not a regular file")));
}

TEST(ReadFile, APipeWhereItMayBe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(::write(ends[1], "one two", 7), 7);
  ::close(ends[1]);
  const fs::path path = fs::path("/dev/fd") / std::to_string(ends[0]);  // what a shell makes of <(…)
  EXPECT_EQ(read_file(path, "config", {.pipes = true}), "one two");
  ::close(ends[0]);
  EXPECT_THAT(test::message_of_error(ErrorKind::Data,
                                     [] { read_file("/dev/zero", "config", {.max_bytes = 1 << 20, .pipes = true}); }),
              HasSubstr("the config /dev/zero has more than 1048576 bytes"));
}

TEST(ReadFile, LargerThanItMayBe) {
  const test::TempFolder folder;
  const fs::path path = folder.path() / "data";
  write_file_atomically(path, "12345");
  EXPECT_EQ(read_file(path, "config", {.max_bytes = 5}), "12345");
  EXPECT_THAT(test::message_of_error(ErrorKind::Data, [&] { read_file(path, "config", {.max_bytes = 4}); }),
              HasSubstr("has 5 bytes; at most 4 are read"));
  fs::resize_file(path, uint64_t{1} << 40);  // a hole
  EXPECT_THAT(test::message_of_error(ErrorKind::Data, [&] { read_file(path, "data file"); }),
              HasSubstr("has 1099511627776 bytes"));
  EXPECT_EQ(read_file("/proc/self/comm", "file of the system").empty(), false) << "its size is said to be 0";
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

TEST(FactsOf, AFileAsItIsNow) {
  const test::TempFolder folder;
  std::string content(3'000'000, '\0');  // several parts
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  const WrittenFile written = write_file_atomically(folder.path() / "file", content);
  const FileFacts read = facts_of(folder.path() / "file", "file");
  EXPECT_EQ(read.name, "file");
  EXPECT_EQ(read.num_bytes, content.size());
  EXPECT_EQ(read.xxh3, written.xxh3);
}

TEST(FactsOf, ADiskThatFailsIsAnError) {
  const fs::path fails = "/proc/self/mem";  // a regular file; there is nothing at its beginning to be read
  EXPECT_THAT(test::message_of_error(ErrorKind::Data, [&] { facts_of(fails, "file"); }),
              HasSubstr("cannot read the file /proc/self/mem: Input/output error"));
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [] { facts_of("/dev/null", "file"); }),
              HasSubstr("is not a regular file"));
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
