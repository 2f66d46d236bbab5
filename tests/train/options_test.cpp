#include "thinktune/train/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thinktune::train {
namespace {

using testing::HasSubstr;

TrainOptions good() {
  TrainOptions o;
  o.model = "model";
  o.output = "run";
  o.data.generator = data::Generator::Arithmetic;
  return o;
}

std::string message_of(const TrainOptions& options) {
  try {
    validate(options);
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::User);
    return error.what();
  }
  return "valid";
}

TEST(TrainOptions, DefaultsWithModelOutputAndDataAreValid) { EXPECT_EQ(message_of(good()), "valid"); }

TEST(TrainOptions, EachContradictionIsNamed) {
  const std::pair<void (*)(TrainOptions&), const char*> cases[] = {
      {[](TrainOptions& o) { o.model = ""; }, "model is missing"},
      {[](TrainOptions& o) { o.output = ""; }, "output is missing"},
      {[](TrainOptions& o) { o.rollout.sampling.temperature = 0; }, "temperature"},
      {[](TrainOptions& o) { o.rollout.group_size = 1; }, "group_size"},
      {[](TrainOptions& o) { o.update.mini_batch_prompts = 129; }, "update.mini_batch_prompts is 129"},
      {[](TrainOptions& o) { o.rollout.prompts_per_step = 0; }, "rollout.prompts_per_step"},
      {[](TrainOptions& o) { o.update.micro_batch_tokens = 0; }, "update.micro_batch_tokens"},
      {[](TrainOptions& o) { o.update.mismatch_warning = 0; }, "update.mismatch_warning"},
      {[](TrainOptions& o) { o.steps = 0; }, "steps"},
      {[](TrainOptions& o) { o.seed = -1; }, "seed"},
      {[](TrainOptions& o) { o.data.generator = data::Generator::None; }, "train_file"},
      {[](TrainOptions& o) { o.optim.lr = -1; }, "lr"},
      {[](TrainOptions& o) { o.loss.clip_low = -1; }, "clip_low"},
      {[](TrainOptions& o) { o.eval.every = -1; }, "every"},
      {[](TrainOptions& o) { o.checkpoint.retention.keep_last = -1; }, "keep_last"},
      {[](TrainOptions& o) { o.report.rollouts_every = -1; }, "rollouts_every"},
      {[](TrainOptions& o) { o.guidance.per_group = 0; }, "per_group"},
  };
  for (const auto& [change, expected] : cases) {
    TrainOptions o = good();
    change(o);
    EXPECT_THAT(message_of(o), HasSubstr(expected));
  }
}

TEST(TrainOptions, AGroupOfOneIsAllowedWithoutDeviation) {
  TrainOptions o = good();
  o.rollout.group_size = 1;
  o.advantage.normalize_std = false;
  EXPECT_EQ(message_of(o), "valid");
}

TEST(TrainOptions, ModesSetTheDefaultsThatDiffer) {
  TrainOptions o = good();
  apply_mode(o, Mode::Reference);
  EXPECT_EQ(o.mode, Mode::Reference);
  EXPECT_EQ(o.loss.aas, algo::AasMode::Reference);
  EXPECT_TRUE(o.loss.single_clip_without_teacher);
  EXPECT_TRUE(o.guidance.repeat_question);
  apply_mode(o, Mode::Paper);
  EXPECT_EQ(o.loss.aas, algo::AasMode::Paper);
  EXPECT_FALSE(o.loss.single_clip_without_teacher);
  EXPECT_FALSE(o.guidance.repeat_question);
}

TEST(TrainOptions, SizesAreSaidInWords) {
  TrainOptions o = good();
  EXPECT_THAT(describe_sizes(o), HasSubstr("128 prompts × 5 = 640 rollouts a step → 4 updates of 160"));
  o.rollout.prompts_per_step = 10;
  o.update.mini_batch_prompts = 4;
  EXPECT_THAT(describe_sizes(o), HasSubstr("→ 3 updates of 20")) << "the last one has fewer";
  o.guidance.enabled = false;
  EXPECT_THAT(describe_sizes(o), HasSubstr("plain GRPO"));
}

}  // namespace
}  // namespace thinktune::train
