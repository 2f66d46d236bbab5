#include "thinktune/core/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thinktune/core/error.h"

namespace thinktune::core {
namespace {

TEST(SignalWatch, NotesTheFirstStop) {
  const SignalWatch watch;
  EXPECT_EQ(stop_signal(), 0);
  ::raise(SIGTERM);
  EXPECT_EQ(stop_signal(), SIGTERM);
}

TEST(SignalWatch, ASecondStopEndsTheProcessAtOnce) {
  for (const int second : {SIGINT, SIGTERM}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(STDERR_FILENO);
      const SignalWatch watch;
      ::raise(SIGTERM);
      ::raise(second);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 128 + second);
  }
}

TEST(SignalWatch, ARequestToSaveIsTakenOnce) {
  const SignalWatch watch;
  EXPECT_FALSE(take_save_request());
  ::raise(SIGUSR1);
  EXPECT_EQ(stop_signal(), 0);
  EXPECT_TRUE(take_save_request());
  EXPECT_FALSE(take_save_request());
}

TEST(SignalWatch, PutsBackWhatWasThere) {
  struct sigaction before {
  }, after{};
  ::sigaction(SIGTERM, nullptr, &before);
  {
    const SignalWatch watch;
    ::raise(SIGTERM);
    EXPECT_THROW(SignalWatch(), Error);
  }
  ::sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  EXPECT_EQ(stop_signal(), 0);
}

}  // namespace
}  // namespace thinktune::core
