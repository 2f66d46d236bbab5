// Small runs, in this process or in a child that dies.
#pragma once

#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>

#include "train/small_run.h"

namespace thinktune::fault {
namespace fs = std::filesystem;

// Two updates a step, guided groups, an evaluation and a checkpoint after each step: everything that can be
// interrupted.
class SmallRuns : public testing::Test {
 protected:
  SmallRuns() {
    spdlog::set_level(spdlog::level::off);
    at::set_num_threads(1);  // children are forked: nobody else may be at work here
    train::test::write_model(folder_.path() / "model");
  }

  train::TrainOptions options(const std::string& output) const {
    train::TrainOptions o = train::test::small_options(folder_.path(), output);
    o.precision = train::Precision::Bf16;
    o.update.mini_batch_prompts = 2;
    o.optim.schedule = optim::LrKind::Cosine;
    o.checkpoint.every = 1;
    o.eval.every = 1;
    return o;
  }

  static train::TrainSummary train(const train::TrainOptions& o, const train::RunRequest& request = {},
                                   std::function<void(int64_t, const std::string&)> observer = nullptr) {
    train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
    trainer.stops().observer = std::move(observer);
    return trainer.run(request);
  }

  // As a user does who knows nothing but that the run has ended, perhaps because it was finished.
  static void go_on(const train::TrainOptions& o) {
    try {
      train(o, {.resume = fs::exists(fs::path(o.output) / "metrics.jsonl")});
    } catch (const core::Error& error) {
      if (error.message().find("is finished: ") == std::string::npos) throw;
    }
  }

  // Runs `body` in a child; returns its exit code, or 128 + the signal that killed it.
  static int in_child(const std::function<void()>& body, const std::function<void(pid_t)>& meanwhile = nullptr) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork failed");
    if (child == 0) {
      int code = 0;
      try {
        body();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
        code = 1;
      }
      ::_exit(code);
    }
    if (meanwhile) meanwhile(child);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // A name for the output of each case, so that none finds another's files.
  void remove(const train::TrainOptions& o) const { fs::remove_all(o.output); }

  thinktune::test::TempFolder folder_;
};

}  // namespace thinktune::fault
