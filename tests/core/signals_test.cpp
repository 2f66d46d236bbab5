#include "thinktune/core/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

#include "thinktune/core/error.h"
#include "thinktune/core/last_words.h"

namespace thinktune::core {
namespace {

TEST(SignalWatch, NotesTheFirstStop) {
  const SignalWatch watch;
  EXPECT_EQ(stop_signal(), 0);
  ::raise(SIGTERM);
  EXPECT_EQ(stop_signal(), SIGTERM);
}

// How a child ends that runs `body`, and what it says on its standard error.
std::pair<int, std::string> end_of(const std::function<void()>& body) {
  int fds[2];
  EXPECT_EQ(::pipe(fds), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(fds[1], STDERR_FILENO);
    ::signal(SIGHUP, SIG_DFL);  // these tests may run under nohup
    body();
    ::_exit(0);
  }
  ::close(fds[1]);
  std::string said;
  char buffer[1024];
  for (ssize_t count; (count = ::read(fds[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<size_t>(count));
  ::close(fds[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  return {WEXITSTATUS(status), said};
}

TEST(SignalWatch, ASecondStopEndsTheProcessAtOnceWithTheLastWords) {
  for (const int second : {SIGINT, SIGTERM}) {
    const auto [code, said] = end_of([&] {
      const SignalWatch watch;
      set_way_on("to go on: x --resume");
      set_saved("nothing was saved");
      set_saved("saved, and whole: a/step-4");
      ::raise(SIGTERM);
      ::raise(second);
    });
    EXPECT_EQ(code, 128 + second);
    EXPECT_EQ(said, "\nsecond signal: ended at once\n  saved, and whole: a/step-4\n  to go on: x --resume\n");
  }
}

// Kernel and shell both tell of a terminal that ends.
TEST(SignalWatch, TheEndOfATerminalIsOneStopHoweverOftenItIsTold) {
  ::signal(SIGHUP, SIG_DFL);  // these tests may run under nohup
  const SignalWatch watch;
  ::raise(SIGHUP);
  EXPECT_EQ(stop_signal(), SIGHUP);
  ::raise(SIGHUP);  // another one that ends would end this test
  EXPECT_EQ(stop_signal(), SIGHUP);
  ::raise(SIGTERM);  // the session's end, right behind it
  EXPECT_EQ(stop_signal(), SIGTERM);
  ::raise(SIGHUP);
  EXPECT_EQ(stop_signal(), SIGTERM);
}

TEST(SignalWatch, UnderNohupTheEndOfATerminalIsNone) {
  const auto [code, said] = end_of([] {
    ::signal(SIGHUP, SIG_IGN);
    const EarlySignals early;
    ::raise(SIGHUP);
    const SignalWatch watch;
    ::raise(SIGHUP);
    ::_exit(stop_signal() == 0 ? 7 : 8);
  });
  EXPECT_EQ(code, 7);
  EXPECT_EQ(said, "");
}

TEST(EarlySignals, TheFirstStopEndsTheProcessAtOnce) {
  for (const auto& [signal, name] :
       {std::pair(SIGINT, "SIGINT"), std::pair(SIGTERM, "SIGTERM"), std::pair(SIGHUP, "SIGHUP")}) {
    const auto end = [signal = signal](bool says) {
      return end_of([&] {
        const EarlySignals early(says);
        set_way_on("to begin: x");
        ::raise(signal);
      });
    };
    EXPECT_EQ(end(true), std::pair(128 + signal, "\nstopped by " + std::string(name) + "\n  to begin: x\n"));
    EXPECT_EQ(end(false), std::pair(128 + signal, std::string()));
  }
}

TEST(EarlySignals, ARequestToSaveIsKeptForTheWatch) {
  const EarlySignals early;
  ::raise(SIGUSR1);
  {
    const SignalWatch watch;
    ::raise(SIGTERM);
    EXPECT_EQ(stop_signal(), SIGTERM);
    EXPECT_TRUE(take_save_request());
  }
  const auto [code, said] = end_of([] { ::raise(SIGTERM); });
  EXPECT_EQ(code, 128 + SIGTERM) << "after the watch they are early again";
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
