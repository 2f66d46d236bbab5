// Small runs on several ranks, each a process of its own.
#pragma once

#include "support/lent_communicator.h"
#include "support/ranks.h"
#include "train/small_run.h"

namespace thinktune::train::test {

class SmallRanks : public testing::Test {
 protected:
  SmallRanks() {
    at::set_num_threads(1);
    write_model(folder_.path() / "model");
  }

  // Several micro-batches an update, two updates a step, and numbers of prompts that 2 and 3 do not divide.
  TrainOptions options(const std::string& output) const {
    TrainOptions o = small_options(folder_.path(), output);
    o.rollout.prompts_per_step = 7;
    o.update.mini_batch_prompts = 5;
    o.update.micro_batch_tokens = 300;
    o.loss.kl_coefficient = 0.01;
    o.comm.bucket_mib = 1;
    o.checkpoint.every = 1;
    o.checkpoint.retention.keep_last = 0;
    return o;
  }

  static std::vector<thinktune::test::RankEnd> train(int64_t num_ranks, const TrainOptions& o, bool resume = false,
                                                     int64_t max_steps = 0) {
    return thinktune::test::run_ranks(num_ranks, [&](comm::Communicator& comm) {
      Trainer(o, "{}\n", answering_teacher(o), lend(comm)).run({.resume = resume, .max_steps = max_steps});
    });
  }

  // A trainer owns its communicator; a test's rank lends its own.
  static std::unique_ptr<comm::Communicator> lend(comm::Communicator& comm) {
    return std::make_unique<thinktune::test::Lent>(comm);
  }

  thinktune::test::TempFolder folder_;
};

}  // namespace thinktune::train::test
