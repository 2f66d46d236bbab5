// Several ranks in one test: each is a child process of the test's own, which must not have started threads before
// (LibTorch's pool does not live on in a child: at::set_num_threads(1) first). Header only: only tests of rooms that
// know ranks include it.
#pragma once

#include <ATen/Parallel.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "thinktune/comm/communicator.h"
#include "thinktune/core/error.h"

namespace thinktune::test {

struct RankEnd {
  int exit_code = -1;  // 128 + N: killed by signal N
  std::string error;   // of the Error that the rank threw
  double seconds = 0;  // from the start
};

// Exit codes of a rank: 0 well; 1 a failed expectation; 3 an Error; 4 anything else.
using RankBody = std::function<void(comm::Communicator& comm)>;

namespace detail {

inline int run_rank(const comm::Environment& environment, double timeout_s, int report, const RankBody& body) {
  int code = 4;
  const bool failed_before = testing::Test::HasFailure();  // in the parent
  try {
    const auto comm = comm::connect(environment, {.timeout_s = timeout_s});
    body(*comm);
    code = testing::Test::HasFailure() && !failed_before ? 1 : 0;
  } catch (const core::Error& error) {
    const std::string text = error.what();
    if (::write(report, text.data(), text.size()) >= 0) code = 3;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %ld: %s\n", static_cast<long>(environment.rank), error.what());
  }
  std::fflush(nullptr);
  return code;
}

}  // namespace detail

// Runs `body` on `size` ranks of this machine. A rank that is still there after `limit_s` is killed.
inline std::vector<RankEnd> run_ranks(int64_t size, const RankBody& body, double timeout_s = 30, double limit_s = 120) {
  at::set_num_threads(1);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const int port = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::bind(port, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(port, 64) != 0 ||
      ::getsockname(port, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw std::runtime_error("cannot open a port");

  const auto start = std::chrono::steady_clock::now();
  std::vector<pid_t> children;
  std::vector<int> reports;
  std::fflush(nullptr);
  for (int64_t rank = 0; rank < size; ++rank) {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("cannot open a pipe");
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("cannot start a rank");
    if (child == 0) {
      ::setenv("THINKTUNE_STORE_FD", std::to_string(port).c_str(), 1);
      if (rank > 0) ::close(port);
      ::_exit(detail::run_rank({.rank = rank,
                                .size = size,
                                .local_rank = rank,
                                .local_size = size,
                                .master_address = "127.0.0.1",
                                .master_port = ntohs(address.sin_port)},
                               timeout_s, pipe[1], body));
    }
    ::close(pipe[1]);
    children.push_back(child);
    reports.push_back(pipe[0]);
  }
  ::close(port);

  std::vector<RankEnd> ends(children.size());
  for (size_t left = children.size(); left > 0;) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (size_t r = 0; r < children.size(); ++r) {
      int status = 0;
      if (children[r] < 0) continue;
      if (seconds > limit_s) ::kill(children[r], SIGKILL);
      if (::waitpid(children[r], &status, WNOHANG) != children[r]) continue;
      ends[r].exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      ends[r].seconds = seconds;
      children[r] = -1;
      --left;
      char buffer[4096];
      for (ssize_t count; (count = ::read(reports[r], buffer, sizeof buffer)) > 0;)
        ends[r].error.append(buffer, static_cast<size_t>(count));
      ::close(reports[r]);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return ends;
}

inline void expect_all_well(const std::vector<RankEnd>& ends) {
  for (size_t r = 0; r < ends.size(); ++r)
    EXPECT_EQ(ends[r].exit_code, 0) << "rank " << r << " of " << ends.size() << ": " << ends[r].error;
}

}  // namespace thinktune::test
