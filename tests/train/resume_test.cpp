// A run that was interrupted and resumed equals one that never was, bit for bit.
#include <fstream>

#include "train/small_run.h"

namespace thinktune::train {
namespace {

namespace fs = std::filesystem;
using test::answering_teacher;
using test::small_options;

struct Variant {
  const char* name;
  void (*apply)(TrainOptions&);
};

void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

const Variant kVariants[] = {
    {"bf16_one_update", [](TrainOptions& o) { o.precision = Precision::Bf16; }},
    {"f32_one_update_sampler", [](TrainOptions& o) { o.update.old_logprobs = OldLogprobs::Sampler; }},
    {"bf16_two_updates_cosine_warmup",
     [](TrainOptions& o) {
       o.precision = Precision::Bf16;
       o.update.mini_batch_prompts = 2;
       o.optim.schedule = optim::LrKind::Cosine;
       o.optim.warmup_updates = 3;
     }},
    {"bf16_two_updates_sampler",
     [](TrainOptions& o) {
       o.precision = Precision::Bf16;
       o.update.mini_batch_prompts = 2;
       o.update.old_logprobs = OldLogprobs::Sampler;
     }},
    {"f32_two_updates_linear_kl_entropy",
     [](TrainOptions& o) {
       o.update.mini_batch_prompts = 2;
       o.optim.schedule = optim::LrKind::Linear;
       o.loss.kl_coefficient = 0.05;
       o.loss.entropy_coefficient = 0.01;
     }},
    {"f32_two_updates_sampler_cosine_guard",
     [](TrainOptions& o) {
       o.update.mini_batch_prompts = 2;
       o.update.old_logprobs = OldLogprobs::Sampler;
       o.optim.schedule = optim::LrKind::Cosine;
       o.optim.warmup_updates = 1;
       o.guidance.guard = {.enabled = true, .max_drop = 0.01, .window = 1, .pause_steps = 2};
     }},
};

class Runs {
 protected:
  Runs() { test::write_model(folder_.path() / "model"); }

  TrainOptions options(const std::string& output) const {
    TrainOptions o = small_options(folder_.path(), output);
    o.steps = 4;
    o.eval.every = 2;
    return o;
  }
  static void train(const TrainOptions& o, bool resume, int64_t max_steps = 0) {
    Trainer(o, "{}\n", answering_teacher(o)).run({.resume = resume, .max_steps = max_steps});
  }

  thinktune::test::TempFolder folder_;
};

class ResumeTest : public Runs, public testing::TestWithParam<Variant> {};

TEST_P(ResumeTest, EqualsARunThatWasNeverInterrupted) {
  TrainOptions whole = options("whole"), parts = options("parts");
  for (TrainOptions* o : {&whole, &parts}) GetParam().apply(*o);
  train(whole, false);
  train(parts, false, 2);
  train(parts, true);
  test::expect_same_results(whole, parts);
}

INSTANTIATE_TEST_SUITE_P(Variants, ResumeTest, testing::ValuesIn(kVariants),
                         [](const auto& info) { return std::string(info.param.name); });

class CrashTest : public ResumeTest {};

// The run went on after its last checkpoint and was killed: what it wrote of the later step is dropped and done again.
TEST_P(CrashTest, StepsAfterTheLastCheckpointAreDoneAgain) {
  TrainOptions whole = options("whole"), killed = options("killed");
  GetParam().apply(whole);
  GetParam().apply(killed);
  killed.checkpoint.every = 1;
  train(whole, false);
  train(killed, false, 3);
  const fs::path checkpoints = fs::path(killed.output) / "checkpoints";
  fs::remove_all(checkpoints / "step-3");
  fs::create_directories(checkpoints / ".tmp-step-3-1");  // it was being written
  std::ofstream(checkpoints / ".tmp-step-3-1" / "model.safetensors") << "half";
  train(killed, true);
  test::expect_same_results(whole, killed);
  EXPECT_FALSE(fs::exists(checkpoints / ".tmp-step-3-1"));
}

TEST_P(CrashTest, ADamagedCheckpointFallsBackToTheOneBefore) {
  TrainOptions whole = options("whole"), damaged = options("damaged");
  GetParam().apply(whole);
  GetParam().apply(damaged);
  damaged.checkpoint.every = 1;
  damaged.checkpoint.retention.keep_last = 2;
  train(whole, false);
  train(damaged, false, 3);
  const fs::path tensors = fs::path(damaged.output) / "checkpoints" / "step-3" / "training_state.safetensors";
  fs::resize_file(tensors, fs::file_size(tensors) / 2);
  train(damaged, true, 1);
  EXPECT_NO_THROW(checkpoint::verify(tensors.parent_path()))
      << "the damaged one is replaced when its step is reached again";
  train(damaged, true);
  test::expect_same_results(whole, damaged);
}

INSTANTIATE_TEST_SUITE_P(Variants, CrashTest, testing::Values(kVariants[2]),
                         [](const auto& info) { return std::string(info.param.name); });

class ForgetfulTest : public Runs, public testing::Test {};

// The comparison above sees what a resume could lose: here the moments, the data position and the step.
TEST_F(ForgetfulTest, AResumedRunThatForgetsItsMomentsDiffers) {
  TrainOptions whole = options("whole"), forgetful = options("forgetful");
  train(whole, false);
  train(forgetful, false, 2);
  TrainOptions from_weights = options("from_weights");
  from_weights.model = (fs::path(forgetful.output) / "checkpoints" / "step-2").string();
  train(from_weights, false);
  EXPECT_TRUE(test::results_of(whole)["checkpoints/step-4/model.safetensors"] !=
              test::results_of(from_weights)["checkpoints/step-4/model.safetensors"]);
}

}  // namespace
}  // namespace thinktune::train
