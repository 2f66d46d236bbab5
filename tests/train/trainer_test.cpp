#include "thinktune/train/trainer.h"

#include <gmock/gmock.h>

#include <fstream>

#include "thinktune/infer/kv_sizes.h"
#include "train/small_run.h"

namespace thinktune::train {
namespace {

namespace fs = std::filesystem;
using test::answering_teacher;
using test::error_of;
using test::small_options;
using testing::HasSubstr;

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() { test::write_model(folder_.path() / "model"); }

  TrainSummary train(const TrainOptions& options) const {
    return Trainer(options, "{}\n", answering_teacher(options)).run();
  }

  thinktune::test::TempFolder folder_;
};

TEST_F(TrainerTest, TheSameSeedGivesTheSameBytes) {
  TrainOptions first = small_options(folder_.path(), "first"), second = small_options(folder_.path(), "second");
  first.precision = second.precision = Precision::Bf16;
  train(first);
  train(second);
  test::expect_same_results(first, second);
}

TEST_F(TrainerTest, AnotherSeedGivesOtherRolloutsAndWeights) {
  TrainOptions first = small_options(folder_.path(), "first"), second = small_options(folder_.path(), "second");
  second.seed = 2;
  train(first);
  train(second);
  auto a = test::results_of(first), b = test::results_of(second);
  EXPECT_NE(a["rollouts/step-1.jsonl"], b["rollouts/step-1.jsonl"]);
  EXPECT_TRUE(a["checkpoints/step-3/model.safetensors"] != b["checkpoints/step-3/model.safetensors"]);
  EXPECT_TRUE(a["checkpoints/step-3/training_state.safetensors"] != b["checkpoints/step-3/training_state.safetensors"]);
}

TEST_F(TrainerTest, GuidanceIsTheSignalThatMovesTheWeights) {
  TrainOptions options = small_options(folder_.path());
  Trainer trainer(options, "{}\n", answering_teacher(options));
  const std::vector<at::Tensor> before = test::copies(trainer.parts().policy->parameters());
  const TrainSummary summary = trainer.run();
  EXPECT_EQ(summary.steps_done, 3);
  EXPECT_EQ(summary.checkpoint, fs::path(options.output) / "checkpoints" / "step-3");
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_FALSE(at::equal(before[i], trainer.parts().policy->parameters()[i])) << "tensor " << i << " has not moved";

  const auto rows = test::rows_without_times(fs::path(options.output) / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 3U);
  for (const auto& row : rows) {
    EXPECT_EQ(row["reward/own_mean"], 0);
    EXPECT_GT(row["guidance/guided"], 0);
    EXPECT_EQ(row["guidance/wrong_to_right"], row["guidance/outcome/guided"]);
    EXPECT_EQ(row["optim/updates"], 1);
    EXPECT_GT(row["optim/grad_norm"], 0);
    EXPECT_GT(row["policy/guided_token_share"], 0);
    EXPECT_LT(row["policy/guided_token_share"], 1);
    EXPECT_LT(row["mismatch/max"], 1e-4);
  }
  // What is saved is what was trained, as a folder that can be loaded.
  const model::Weights saved = model::Pretrained(summary.checkpoint).load_weights(at::kFloat);
  EXPECT_TRUE(test::same_bits(model::tensor_list(saved), trainer.parts().policy->parameters()));
}

TEST_F(TrainerTest, EvaluatesAtTheStartWhenDueAndAtTheEnd) {
  TrainOptions options = small_options(folder_.path());
  options.eval.every = 2;
  const TrainSummary summary = train(options);
  ASSERT_EQ(summary.evaluations.size(), 3U);
  EXPECT_EQ(summary.evaluations[0].step, 0);
  EXPECT_EQ(summary.evaluations[1].step, 2);
  EXPECT_EQ(summary.evaluations[2].step, 3);
  const auto rows = test::rows_without_times(fs::path(options.output) / "eval.jsonl");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0]["num_problems"], 3);
}

TEST_F(TrainerTest, TheLearningRateFollowsItsScheduleUpdateByUpdate) {
  TrainOptions options = small_options(folder_.path());
  options.update.mini_batch_prompts = 2;
  options.optim.schedule = optim::LrKind::Cosine;
  options.optim.warmup_updates = 2;
  train(options);
  const auto rows = test::rows_without_times(fs::path(options.output) / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 3U);
  for (int64_t step = 0; step < 3; ++step) {
    const auto& row = rows[static_cast<size_t>(step)];
    ASSERT_EQ(row["optim/updates"], 2);
    EXPECT_DOUBLE_EQ(row["optim/lr"].get<double>(), optim::learning_rate(options.optim, 2 * step + 1, 6));
  }
}

TEST_F(TrainerTest, KeepsCheckpointsAsAsked) {
  TrainOptions options = small_options(folder_.path());
  options.checkpoint.every = 1;
  options.checkpoint.retention.keep_last = 2;
  train(options);
  const fs::path checkpoints = fs::path(options.output) / "checkpoints";
  EXPECT_FALSE(fs::exists(checkpoints / "step-1"));
  EXPECT_TRUE(fs::exists(checkpoints / "step-2"));
  EXPECT_TRUE(fs::exists(checkpoints / "step-3"));
}

TEST_F(TrainerTest, RefusesAFolderThatHoldsARunAlready) {
  TrainOptions options = small_options(folder_.path());
  options.steps = 1;
  train(options);
  const core::Error results = error_of([&] { train(options); });
  EXPECT_EQ(results.kind(), core::ErrorKind::User);
  EXPECT_THAT(results.message(), HasSubstr("checkpoints of another run"));

  // Checkpoints alone are enough: a later resume would take them for this run's.
  for (const char* name : {"metrics.jsonl", "eval.jsonl"}) fs::remove(fs::path(options.output) / name);
  EXPECT_EQ(error_of([&] { train(options); }).kind(), core::ErrorKind::User);
  // Results alone as well.
  fs::remove_all(options.output);
  train(options);
  fs::remove_all(fs::path(options.output) / "checkpoints");
  EXPECT_EQ(error_of([&] { train(options); }).kind(), core::ErrorKind::User);
}

TEST_F(TrainerTest, ResumeNeedsACheckpointAndStepsToDo) {
  TrainOptions options = small_options(folder_.path());
  options.steps = 1;
  const core::Error nothing =
      error_of([&] { Trainer(options, "{}\n", answering_teacher(options)).run({.resume = true}); });
  EXPECT_EQ(nothing.kind(), core::ErrorKind::User);
  EXPECT_THAT(nothing.message(), HasSubstr("no whole checkpoint"));
  train(options);
  const core::Error finished =
      error_of([&] { Trainer(options, "{}\n", answering_teacher(options)).run({.resume = true}); });
  EXPECT_EQ(finished.kind(), core::ErrorKind::User);
  EXPECT_THAT(finished.message(), HasSubstr("finished"));
}

TEST_F(TrainerTest, AFileInPlaceOfTheOutputFolderIsAUserError) {
  const TrainOptions options = small_options(folder_.path());
  std::ofstream(options.output) << "not a folder";
  const core::Error error = error_of([&] { train(options); });
  EXPECT_EQ(error.kind(), core::ErrorKind::User);
  EXPECT_THAT(error.message(), HasSubstr(options.output));
}

TEST_F(TrainerTest, TheInitialModelTeaches) {
  TrainOptions options = small_options(folder_.path());
  options.steps = 1;
  test::let_the_model_teach(options, folder_.path());
  Trainer trainer(options, "{}\n");
  const model::Weights initial = model::Pretrained(options.model).load_weights(at::kFloat);
  ASSERT_NE(trainer.parts().teacher_engine, nullptr);
  EXPECT_GT(trainer.parts().teacher_engine->kept_bytes(), 0) << "what its prompts begin with";
  EXPECT_EQ(trainer.parts().engine->kept_bytes(), trainer.parts().teacher_engine->kept_bytes()) << "one memory";
  trainer.run();

  const auto row = test::rows_without_times(fs::path(options.output) / "metrics.jsonl").at(0);
  EXPECT_GT(row["teacher/asked"], 0);
  int64_t outcomes = 0;
  for (const auto& [key, value] : row.items())
    if (key.starts_with("guidance/outcome/")) outcomes += value.get<int64_t>();
  EXPECT_EQ(outcomes, row["guidance/selected"]);
  EXPECT_GT(trainer.parts().teacher_engine->stats().generated_tokens, 0);
  EXPECT_TRUE(test::same_bits(model::tensor_list(*trainer.parts().initial_weights), model::tensor_list(initial)))
      << "the teacher is frozen";

  // One MiB holds the longest of the student's sequences, but not beside that beginning.
  options.output += "-large";
  options.engine.kv_cache_mib = 1;
  options.rollout.max_new_tokens = 4080 - options.prompt.max_prompt_tokens;
  EXPECT_THAT(error_of([&] { Trainer(options, "{}"); }).message(), HasSubstr("beside the beginning of the teacher's"));
}

// In bf16 a prompt's keys and values are there twice, where heads are as wide as products of them need: a run whose
// longest prompt would not fit ends before its first step, not at that prompt.
TEST_F(TrainerTest, TheCopyOfAPromptIsCountedBeforeTheRun) {
  model::ModelConfig config = thinktune::test::tiny_config();
  config.head_dim = config.rotary_dim = 32;
  const fs::path model = folder_.path() / "wide";
  fs::create_directories(model);
  model::save_pretrained(model, config, thinktune::test::random_weights(config, 1, at::kFloat),
                         thinktune::test::byte_vocabulary(config));
  TrainOptions options = small_options(folder_.path());
  options.model = model.string();
  options.precision = Precision::Bf16;
  options.guidance.enabled = false;
  options.engine.kv_cache_mib = 1;
  const infer::KvSizes sizes(config, at::kBFloat16, /*in_pages=*/false);
  const auto with_prompts_of = [&](int64_t tokens) {
    options.prompt.max_prompt_tokens = tokens;
    Trainer(options, "{}\n");
  };
  int64_t longest = 1;
  const int64_t new_tokens = std::max(options.rollout.max_new_tokens, options.eval.max_new_tokens);
  while (sizes.sample(longest + 1, new_tokens) <= 1 << 20) ++longest;
  ASSERT_LT(infer::kv_bytes(config, at::kBFloat16, longest + 1 + new_tokens), 1 << 20) << "rows alone would fit";
  EXPECT_THAT(error_of([&] { with_prompts_of(longest + 1); }).message(), HasSubstr("a prompt and its response"));
  EXPECT_NO_THROW(with_prompts_of(longest));
}

TEST_F(TrainerTest, LengthsThatDoNotFitTheModelAreRefusedBeforeTheRun) {
  TrainOptions options = small_options(folder_.path());
  options.rollout.max_new_tokens = 4000;
  EXPECT_THAT(error_of([&] { Trainer(options, "{}"); }).message(), HasSubstr("4096 positions"));

  options = small_options(folder_.path());
  options.guidance.max_teacher_prompt_tokens = 3072;
  options.guidance.max_reply_tokens = 1025;
  EXPECT_THAT(error_of([&] { Trainer(options, "{}"); }).hint(), HasSubstr("guidance.max_reply_tokens"));
  EXPECT_NO_THROW(Trainer(options, "{}", answering_teacher(options)))
      << "these are limits of the initial model as the teacher";

  // What is written for the teacher takes positions too: here the three parts fit, but not with their tags.
  options.guidance.format = guidance::Format::Constrained;
  options.guidance.max_reason_tokens = 512;
  options.guidance.max_phrase_tokens = 512;
  EXPECT_THAT(error_of([&] { Trainer(options, "{}"); }).hint(), HasSubstr("guidance.max_phrase_tokens"));
}

}  // namespace
}  // namespace thinktune::train
