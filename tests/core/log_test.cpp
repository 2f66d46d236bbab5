#include "thinktune/core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::core {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// Leaves the process with the logger and the environment that it had.
class Log : public ::testing::Test {
 protected:
  void SetUp() override { ::unsetenv("THINKTUNE_LOG"); }
  void TearDown() override {
    ::unsetenv("THINKTUNE_LOG");
    spdlog::set_default_logger(before_);
  }

  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
};

TEST_F(Log, InfoHasAShortTimeAndWarningsSaySo) {
  set_up_logging();
  ::testing::internal::CaptureStderr();
  spdlog::info("thirty layers");
  spdlog::warn("too long");
  spdlog::error("no file");
  spdlog::debug("not shown");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              MatchesRegex("[0-9][0-9]:[0-9][0-9]:[0-9][0-9] thirty layers\n"
                           "[0-9][0-9]:[0-9][0-9]:[0-9][0-9] warning: too long\n"
                           "[0-9][0-9]:[0-9][0-9]:[0-9][0-9] error: no file\n"));
}

TEST_F(Log, LevelComesFromTheOptionThenTheEnvironment) {
  const auto shows_info = [](std::string_view level) {
    set_up_logging(level);
    ::testing::internal::CaptureStderr();
    spdlog::info("hello");
    return !::testing::internal::GetCapturedStderr().empty();
  };
  EXPECT_TRUE(shows_info(""));
  EXPECT_FALSE(shows_info("warning"));
  EXPECT_TRUE(shows_info("trace"));
  ::setenv("THINKTUNE_LOG", "error", 1);
  EXPECT_FALSE(shows_info(""));
  EXPECT_TRUE(shows_info("info"));
}

TEST_F(Log, RefusesAnUnknownLevel) {
  try {
    set_up_logging("loud");
    FAIL() << "it was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::User);
    EXPECT_EQ(error.message(), "the log level is \"loud\", allowed are trace, debug, info, warning, error, off");
  }
  ::setenv("THINKTUNE_LOG", "loud", 1);
  EXPECT_THROW(set_up_logging(), Error);
}

TEST_F(Log, FileHasWholeUtcTimesAndIsAppendedTo) {
  const test::TempFolder folder;
  const auto file = folder.path() / "log.txt";
  for (int run = 0; run < 2; ++run) {
    set_up_logging();
    add_log_file(file);
    ::testing::internal::CaptureStderr();
    spdlog::info("hello");
    spdlog::warn("careful");
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("careful"));
  }
  const std::string line = "20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\\.[0-9][0-9][0-9]Z ";
  EXPECT_THAT(read_file(file, "log"), MatchesRegex(line + "hello\n" + line + "warning: careful\n" + line + "hello\n" +
                                                   line + "warning: careful\n"));
}

TEST_F(Log, RefusesAFileThatCannotBeWritten) {
  set_up_logging();
  try {
    add_log_file("/proc/no-such-folder/log.txt");
    FAIL() << "it was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::User);
    EXPECT_THAT(error.message(), HasSubstr("/proc/no-such-folder/log.txt"));
  }
}

}  // namespace
}  // namespace thinktune::core
