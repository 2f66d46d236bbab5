#include "thinktune/core/folder_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "support/errors.h"
#include "support/paths.h"

namespace thinktune::core {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(FolderLock, TheSecondIsToldWhoHasIt) {
  const test::TempFolder folder;
  const FolderLock first(folder.path());
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { FolderLock(folder.path()); }),
              AllOf(HasSubstr("another run is writing to " + folder.path().string()),
                    HasSubstr("process " + std::to_string(::getpid())), HasSubstr("choose another output folder")));
}

TEST(FolderLock, IsFreeAfterItsHolder) {
  const test::TempFolder folder;
  { const FolderLock first(folder.path()); }
  EXPECT_NO_THROW(FolderLock(folder.path()));
}

TEST(FolderLock, IsFreeAfterItsHolderWasKilled) {
  const test::TempFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock held(folder.path());
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(FolderLock(folder.path()));
}

TEST(FolderLock, WritesThroughNoLink) {
  const test::TempFolder folder;
  const std::filesystem::path other = folder.path() / "other";
  std::ofstream(other) << "text";
  std::filesystem::create_symlink(other, folder.path() / "lock");
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { FolderLock(folder.path()); }), HasSubstr("is a link"));
  EXPECT_EQ(std::filesystem::file_size(other), 4U);
}

TEST(FolderLock, NeedsAFolder) {
  const test::TempFolder folder;
  EXPECT_THAT(test::message_of_error(ErrorKind::User, [&] { FolderLock(folder.path() / "none"); }),
              AllOf(HasSubstr("none/lock"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace thinktune::core
