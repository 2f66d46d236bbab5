// Ranks that die, see numbers that are not finite, or do not agree: every rank ends, and says which one it was.
#include <gmock/gmock.h>
#include <signal.h>

#include "train/small_ranks.h"

namespace thinktune::train {
namespace {

namespace fs = std::filesystem;
using comm::Shard;
using test::answering_teacher;
using testing::HasSubstr;
using thinktune::test::expect_all_well;
using thinktune::test::RankEnd;
using thinktune::test::run_ranks;

class RanksErrorsTest : public test::SmallRanks {};

TEST_F(RanksErrorsTest, ADeadRankEndsTheRunAndTheLastCheckpointIsWhole) {
  const TrainOptions o = options("run");
  const std::vector<RankEnd> ends = run_ranks(3, [&](comm::Communicator& comm) {
    int64_t requests = 0;
    Trainer(o, "{}\n",
            answering_teacher(o,
                              [&](const std::string& gold, int64_t) {
                                if (comm.rank() == 1 && ++requests == 4) ::raise(SIGKILL);
                                return guidance::TeacherReply{
                                    guidance::format_reply(guidance::kIncorrect, "No.", "It is \\boxed{" + gold + "}."),
                                    true};
                              }),
            lend(comm))
        .run();
  });
  EXPECT_EQ(ends[1].exit_code, 128 + SIGKILL);
  for (const int64_t r : {0, 2}) {
    EXPECT_EQ(ends[r].exit_code, 3);
    EXPECT_THAT(ends[r].error, HasSubstr(fmt::format("rank {}, step 2: the all-gather of the teacher's replies", r)));
  }
  std::vector<std::string> skipped;
  const auto found =
      checkpoint::find_newest(fs::path(o.output) / "checkpoints", thinktune::test::tiny_config(), skipped);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->state.step, 1);
  EXPECT_TRUE(skipped.empty());
  expect_all_well(train(2, o, true));
}

TEST_F(RanksErrorsTest, NumbersThatAreNotFiniteNameTheRank) {
  for (const Shard shard : {Shard::None, Shard::Gradients}) {
    TrainOptions o = options(shard == Shard::None ? "none" : "shares");
    o.comm.shard = shard;
    const std::vector<RankEnd> ends = run_ranks(2, [&](comm::Communicator& comm) {
      // Between sampling and the update, a weight of rank 1 ceases to be a number: what a broken device gives.
      const Trainer* self = nullptr;
      Trainer trainer(
          o, "{}\n",
          answering_teacher(o,
                            [&](const std::string& gold, int64_t) {
                              if (comm.rank() == 1)
                                self->parts().policy->compute_weights().final_norm.detach().fill_(NAN);
                              return guidance::TeacherReply{
                                  guidance::format_reply(guidance::kIncorrect, "No.", "It is \\boxed{" + gold + "}."),
                                  true};
                            }),
          lend(comm));
      self = &trainer;
      trainer.run();
    });
    SCOPED_TRACE(ends[1].error);
    EXPECT_EQ(ends[1].exit_code, 3);
    EXPECT_THAT(ends[1].error, HasSubstr("rank 1, step 1: a weight of model.norm.weight is not finite"));
    EXPECT_EQ(ends[0].exit_code, 3);
    EXPECT_FALSE(fs::exists(fs::path(o.output) / "checkpoints" / "step-1"));
  }
}

// Weights that rank 1's sampler reads in the second step, and its loss: its own message names it, and the checkpoint of
// the first step stays whole.
TEST_F(RanksErrorsTest, LogitsAndLossesThatAreNotFiniteNameTheRank) {
  for (const bool in_sampling : {true, false}) {
    TrainOptions o = options(in_sampling ? "logits" : "loss");
    o.checkpoint.background = false;
    const std::vector<RankEnd> ends = run_ranks(2, [&](comm::Communicator& comm) {
      Trainer trainer(o, "{}\n", answering_teacher(o), lend(comm));
      trainer.stops().observer = [&](int64_t step, const std::string& phase) {
        if (comm.rank() != 1 || step != 1) return;
        const train::Run& run = trainer.parts();
        const at::NoGradGuard no_grad;
        if (in_sampling && phase == "sampling") run.policy->compute_weights().layers[0].gate_up.fill_(NAN);
        if (!in_sampling && phase == "old log-probs") run.initial_weights->layers[1].mlp_norm.fill_(NAN);
      };
      trainer.run();
    });
    SCOPED_TRACE(ends[1].error);
    EXPECT_EQ(ends[1].exit_code, 3);
    EXPECT_THAT(ends[1].error,
                in_sampling ? HasSubstr("(a weight of model.layers.0.mlp.gate_proj.weight is not finite)")
                            : HasSubstr("rank 1, step 2: the loss is not finite (a weight of the frozen first model's "
                                        "model.layers.1.post_attention_layernorm.weight is not finite)"));
    EXPECT_THAT(ends[1].error, HasSubstr("rank 1, step 2: the lo"));
    EXPECT_EQ(ends[0].exit_code, 3) << "it waits for rank 1, which is gone";
    EXPECT_NO_THROW(checkpoint::verify(fs::path(o.output) / "checkpoints" / "step-1"));
    EXPECT_FALSE(fs::exists(fs::path(o.output) / "checkpoints" / "step-2"));
  }
}

TEST_F(RanksErrorsTest, AFixedOrderNeedsLogprobsThatDoNotDependOnTheSampler) {
  TrainOptions o = options("run");
  o.comm.fixed_order = true;
  EXPECT_NO_THROW(validate(o));
  o.update.old_logprobs = OldLogprobs::Sampler;
  EXPECT_THAT(test::error_of([&] { validate(o); }).message(), HasSubstr("comm.fixed_order"));
}

TEST_F(RanksErrorsTest, OtherSettingsOfARankAreRefused) {
  const TrainOptions o = options("run");
  const std::vector<RankEnd> ends = run_ranks(2, [&](comm::Communicator& comm) {
    Trainer(o, comm.rank() == 0 ? "{}\n" : "{\"seed\": 2}\n", answering_teacher(o), lend(comm));
  });
  for (const RankEnd& end : ends) {
    EXPECT_EQ(end.exit_code, 3);
    EXPECT_THAT(end.error, HasSubstr("rank 1 was started with other settings than rank 0"));
  }
}

}  // namespace
}  // namespace thinktune::train
