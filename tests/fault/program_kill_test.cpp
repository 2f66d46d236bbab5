// kill -9 of the program itself, started again each time as a user would.
#include <random>

#include "fault/disks.h"
#include "fault/process.h"

namespace thinktune::cli {
namespace {

using fault::Process;

class ProgramKill : public ProgramTest {};

TEST_F(ProgramKill, AtRandomMoments) {
  write_config({{"steps", 12},
                {"rollout", {{"max_new_tokens", 60}}},
                {"eval", {{"every", 4}}},
                {"checkpoint", {{"every", 1}, {"keep_last", 1}, {"keep_best", 1}}}});
  const fs::path whole = folder_.path() / "whole";
  const auto start = std::chrono::steady_clock::now();
  expect_success(train({"--set", "output=" + whole.string()}));
  const double whole_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::mt19937 random(11);
  std::uniform_real_distribution<double> moment(0, 1.1 * whole_s);
  const int wanted = fault::all_places() ? 100 : 3;
  int kills = 0, ends = 0;
  while (kills < wanted || ends == 0) {
    std::vector<std::string> command = {"train", "--config", config_.string()};
    if (fs::exists(output_ / "metrics.jsonl")) command.push_back("--resume");
    Process process(command, folder_.path());
    if (kills < wanted) {
      std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
      process.send(SIGKILL);
    }
    const int code = process.wait();
    if (code == 128 + SIGKILL) {
      ++kills;
      continue;
    }
    const bool was_finished = code == 2 && process.err().find("is finished: ") != std::string::npos;
    ASSERT_TRUE(code == 0 || was_finished) << process.err();
    ++ends;
    fault::expect_same_results(whole, output_, 12);
    ASSERT_FALSE(HasFailure()) << "after " << kills << " kills";
    fs::remove_all(output_);
  }
  std::printf("%d kills, %d runs\n", kills, ends);
}

}  // namespace
}  // namespace thinktune::cli
