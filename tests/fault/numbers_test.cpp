// Numbers that are not finite.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <limits>

#include "fault/small_runs.h"

namespace thinktune::fault {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class Numbers : public SmallRuns {};

// In the embedding's row of a token that no text has: no loss and no gradient would show it.
TEST_F(Numbers, ANotFiniteWeightStopsBeforeTheUpdateAndTheLastCheckpointIsWhole) {
  const train::TrainOptions o = options("weight");
  auto trainer = std::make_unique<train::Trainer>(o, "{}\n", train::test::answering_teacher(o));
  const at::Tensor embedding = trainer->parts().policy->compute_weights().embedding;
  std::vector<at::Tensor> before;
  trainer->stops().observer = [&](int64_t step, const std::string& phase) {
    if (step != 2 || phase != "sampling" || !before.empty()) return;
    at::NoGradGuard no_grad;
    embedding.detach()[299][3].fill_(kNan);
    before = train::test::copies(trainer->parts().policy->parameters());
  };
  const core::Error error = train::test::error_of([&] { trainer->run(); });
  EXPECT_EQ(error.kind(), core::ErrorKind::Device);
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("step 3: a weight of model.embed_tokens.weight is not finite"),
                    HasSubstr("nothing was updated"), HasSubstr("go on from the last checkpoint with a lower")));
  EXPECT_TRUE(train::test::same_bits(before, trainer->parts().policy->parameters()));
  EXPECT_EQ(trainer->last_checkpoint(), fs::path(o.output) / "checkpoints" / "step-2");
  EXPECT_NO_THROW(checkpoint::verify(trainer->last_checkpoint()));
  trainer.reset();
  const train::TrainOptions whole = options("whole");
  train(whole);
  go_on(o);
  train::test::expect_same_results(whole, o);
}

TEST_F(Numbers, ANotFiniteMomentIsNotSaved) {
  train::TrainOptions o = options("moment");
  o.checkpoint.background = false;  // else the next step may meet it first
  train::Trainer trainer(o, "{}\n", train::test::answering_teacher(o));
  // In the order of tensor_list: embedding, then six a layer (norm, qkv, output, norm, gate_up, down).
  trainer.stops().observer = [&](int64_t step, const std::string& phase) {
    if (step == 1 && phase == "saving")
      trainer.parts().optimiser->second_moments()[1 + 6 + 1].view({-1})[5].fill_(kNan);
  };
  const core::Error error = train::test::error_of([&] { trainer.run(); });
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("after step 2: a second moment of model.layers.1.self_attn.q_proj.weight is not finite"),
                    HasSubstr("go on from the last checkpoint with a lower")));
  EXPECT_EQ(trainer.last_checkpoint(), fs::path(o.output) / "checkpoints" / "step-1");
  EXPECT_NO_THROW(checkpoint::verify(trainer.last_checkpoint()));
}

}  // namespace
}  // namespace thinktune::fault
