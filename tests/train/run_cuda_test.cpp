// Training on a GPU: as on the CPU, the same bits each time, and across a resume.
#include "support/gpu.h"
#include "train/small_run.h"

namespace thinktune::train {
namespace {

using test::answering_teacher;
using test::small_options;

class RunCuda : public testing::Test {
 protected:
  RunCuda() { test::write_model(folder_.path() / "model"); }

  TrainOptions options(const std::string& output, Precision precision, const std::string& device = "cuda") const {
    TrainOptions o = small_options(folder_.path(), output);
    o.device = device;
    o.precision = precision;
    o.update.mini_batch_prompts = 2;
    o.loss.kl_coefficient = 0.05;
    o.loss.entropy_coefficient = 0.01;
    o.eval.every = 2;
    return o;
  }
  static void train(const TrainOptions& o, bool resume = false, int64_t max_steps = 0) {
    Trainer(o, "{}\n", answering_teacher(o)).run({.resume = resume, .max_steps = max_steps});
  }

  thinktune::test::TempFolder folder_;
};

double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i)
    squares += (a[i].detach().cpu() - b[i].detach().cpu()).to(at::kDouble).square().sum().item<double>();
  return std::sqrt(squares);
}

TEST_F(RunCuda, ThreeStepsFollowTheCpus) {
  TT_REQUIRE_GPU(gpu);
  const TrainOptions on_cpu = options("cpu", Precision::F32, "cpu"), on_gpu = options("gpu", Precision::F32);
  auto cpu = test::make_run(on_cpu, answering_teacher(on_cpu)), run = test::make_run(on_gpu, answering_teacher(on_gpu));
  EXPECT_TRUE(run->policy->parameters()[0].is_cuda());
  const std::vector<at::Tensor> before = test::copies(cpu->policy->parameters());
  EXPECT_EQ(distance(run->policy->parameters(), before), 0);
  for (int64_t step = 0; step < 3; ++step) {
    SCOPED_TRACE(testing::Message() << "step " << step);
    const StepRecord expected = train_step(*cpu, step), got = train_step(*run, step);
    for (size_t g = 0; g < expected.groups.size(); ++g)
      for (size_t s = 0; s < expected.groups[g].rollouts.size(); ++s)
        ASSERT_EQ(got.groups[g].rollouts[s].ids, expected.groups[g].rollouts[s].ids)
            << "group " << g << " sample " << s;
    const report::Metrics metrics = test::metrics_of(got), right = test::metrics_of(expected);
    for (const char* name : {"loss/policy", "optim/grad_norm", "policy/entropy", "policy/kl_to_reference"})
      EXPECT_NEAR(metrics.at(name), right.at(name), 1e-3 * std::abs(right.at(name)) + 1e-5) << name;
    EXPECT_EQ(metrics.at("optim/updates"), right.at("optim/updates"));
    EXPECT_LT(metrics.at("mismatch/max"), 1e-3);
  }
  const double moved = distance(cpu->policy->parameters(), before);
  EXPECT_GT(moved, 0);
  EXPECT_LT(distance(run->policy->parameters(), cpu->policy->parameters()), 0.02 * moved);
}

TEST_F(RunCuda, TheSameRunGivesTheSameBits) {
  TT_REQUIRE_GPU(gpu);
  for (const Precision precision : {Precision::Bf16, Precision::F32}) {
    const std::string name(core::name_of(kPrecisionNames, precision));
    const TrainOptions first = options(name + "-first", precision), second = options(name + "-second", precision);
    train(first);
    train(second);
    test::expect_same_results(first, second);
  }
}

TEST_F(RunCuda, AResumedRunGivesTheSameBits) {
  TT_REQUIRE_GPU(gpu);
  const TrainOptions whole = options("whole", Precision::Bf16), parts = options("parts", Precision::Bf16);
  train(whole);
  train(parts, false, 1);
  train(parts, true);
  test::expect_same_results(whole, parts);
}

TEST_F(RunCuda, CheckpointedBlocksGiveTheSameBits) {
  TT_REQUIRE_GPU(gpu);
  TrainOptions kept = options("kept", Precision::Bf16), checkpointed = options("checkpointed", Precision::Bf16);
  checkpointed.update.gradient_checkpointing = true;
  train(kept);
  train(checkpointed);
  test::expect_same_results(kept, checkpointed);
}

// Recorded steps of weights that come together anew, and those of a teacher in the same memory between them.
TEST_F(RunCuda, WeightsThatComeTogetherAreSampledFrom) {
  TT_REQUIRE_GPU(gpu);
  const model::ModelConfig config = thinktune::test::tiny_config();
  const model::Weights first = thinktune::test::random_weights(config, 1, at::kFloat),
                       second = thinktune::test::random_weights(config, 2, at::kFloat);
  const model::Vocabulary vocabulary = thinktune::test::byte_vocabulary(config);
  const model::Decoder decoder(config, gpu), on_cpu(config);
  const auto comm = comm::make_single();
  const std::vector<infer::Request> requests = {{.prompt_ids = {1, 2, 3}, .num_samples = 5, .max_new_tokens = 30}};
  for (const comm::Gather gather : {comm::Gather::Keep, comm::Gather::Whole, comm::Gather::Layer}) {
    SCOPED_TRACE(core::name_of(comm::kGatherNames, gather));
    ShardedWeights weights(first, at::kFloat, gpu, *comm, gather);
    ShardedWeights others(second, at::kFloat, gpu, *comm, gather, &weights);
    infer::Engine student(decoder, weights.weights(), *vocabulary.tokenizer, {}), teacher(student, others.weights());
    infer::Engine student_alone(on_cpu, first, *vocabulary.tokenizer, {}), teacher_alone(student_alone, second);
    for (uint64_t turn = 0; turn < 3; ++turn) {
      const auto ids_of = [&](infer::Engine& engine) {
        std::vector<std::vector<core::TokenId>> ids;
        for (const infer::Generation& sample : engine.generate(requests, {}, {.seed = turn})[0])
          ids.push_back(sample.ids);
        return ids;
      };
      EXPECT_EQ(weights.passes([&] { return ids_of(student); }), ids_of(student_alone)) << turn;
      EXPECT_EQ(others.passes([&] { return ids_of(teacher); }), ids_of(teacher_alone)) << turn;
    }
  }
}

}  // namespace
}  // namespace thinktune::train
