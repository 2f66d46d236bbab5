// Runs on 1, 2 and 3 ranks against each other: what does not depend on the number of ranks is the same, byte for byte.
#include <torch/csrc/autograd/graph_task.h>

#include <new>

#include "thinktune/weights/convert.h"
#include "thinktune/weights/safetensors.h"
#include "train/small_ranks.h"

namespace thinktune::train {
namespace {

namespace fs = std::filesystem;
using comm::Shard;
using test::answering_teacher;
using thinktune::test::expect_all_well;
using thinktune::test::Lent;
using thinktune::test::RankEnd;
using thinktune::test::run_ranks;

class RanksTest : public test::SmallRanks {
 protected:
  // kind: master or first_moment.
  static std::vector<at::Tensor> saved(const TrainOptions& o, int64_t step, const std::string& kind) {
    const fs::path folder = fs::path(o.output) / "checkpoints" / ("step-" + std::to_string(step));
    std::vector<at::Tensor> all;
    const weights::Safetensors file(folder / "training_state.safetensors");
    for (int64_t i = 0;; ++i) {
      const weights::TensorInfo* info = file.find(fmt::format("{}.{}", kind, i));
      if (info == nullptr) return all;
      all.push_back(at::empty(info->shape, at::kFloat));
      weights::to_float(*info, all.back().data_ptr<float>());
    }
  }

  // Largest |a − b| of a tensor by the largest |a| of it.
  static double distance(const TrainOptions& a, const TrainOptions& b, int64_t step) {
    const std::vector<at::Tensor> x = saved(a, step, "master"), y = saved(b, step, "master");
    EXPECT_EQ(x.size(), y.size());
    EXPECT_GT(x.size(), 5U);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, ((x[i] - y[i]).abs().max() / x[i].abs().max()).item<double>());
    std::printf("%s: %.1e after step %ld\n", fs::path(b.output).filename().c_str(), worst, static_cast<long>(step));
    return worst;
  }

  // ‖a − b‖ / ‖a‖ of all tensors together.
  static double relative_distance(const TrainOptions& a, const TrainOptions& b, int64_t step, const std::string& kind) {
    const std::vector<at::Tensor> x = saved(a, step, kind), y = saved(b, step, kind);
    EXPECT_EQ(x.size(), y.size());
    EXPECT_GT(x.size(), 5U);
    double difference = 0, size = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      difference += (x[i].to(at::kDouble) - y[i]).square().sum().item<double>();
      size += x[i].to(at::kDouble).square().sum().item<double>();
    }
    const double relative = std::sqrt(difference / size);
    std::printf("%s: %s %.1e after step %ld\n", fs::path(b.output).filename().c_str(), kind.c_str(), relative,
                static_cast<long>(step));
    return relative;
  }

  // Single weights may differ by more than all of them together: Adam's step is the gradient's sign where all it has
  // seen is rounding.
  static void expect_equal_to_rounding(const TrainOptions& a, const TrainOptions& b) {
    for (int64_t step = 1; step <= a.steps; ++step)
      for (const char* kind : {"master", "first_moment"})
        EXPECT_LE(relative_distance(a, b, step, kind), 1e-6) << kind << " after step " << step;
    for (int64_t step = 1; step <= a.steps; ++step)
      EXPECT_LT(distance(a, b, step), 1e-6 * 10 * static_cast<double>(step)) << "step " << step;
  }

  // What the loss's terms sum up to without their signs, which cancel: |advantage| of the mean token.
  static double scale_of_loss(const TrainOptions& o, int64_t step) {
    double sum = 0, tokens = 0;
    for (const auto& row :
         test::rows_without_times(fs::path(o.output) / "rollouts" / fmt::format("step-{}.jsonl", step))) {
      sum += std::abs(row["advantage"].get<double>()) * row["num_tokens"].get<double>();
      tokens += row["num_tokens"].get<double>();
    }
    return sum / tokens;
  }

  // Everything of a rollout but what is a number of the model's.
  static std::vector<nlohmann::json> words(const TrainOptions& o, int64_t step) {
    std::vector<nlohmann::json> rows;
    for (const auto& row :
         test::rows_without_times(fs::path(o.output) / "rollouts" / fmt::format("step-{}.jsonl", step))) {
      nlohmann::json kept;
      for (const auto& [key, value] : row.items())
        if (!value.is_number_float()) kept[key] = value;
      rows.push_back(kept);
    }
    return rows;
  }

  // All files of both runs, byte for byte, but for mismatch/…: the sampler's log-probability of a token may depend in
  // its last bit on how many sequences are decoded with it.
  static std::map<std::string, std::string> results_of(const TrainOptions& o) {
    std::map<std::string, std::string> results = test::results_of(o);
    results["metrics.jsonl"].clear();
    for (auto row : test::rows_without_times(fs::path(o.output) / "metrics.jsonl")) {
      for (const char* key : {"mismatch/max", "mismatch/p99", "mismatch/mean"}) row.erase(key);
      results["metrics.jsonl"] += row.dump() + "\n";
    }
    return results;
  }
  static void expect_same_results(const TrainOptions& a, const TrainOptions& b) {
    const auto first = results_of(a), second = results_of(b);
    ASSERT_GE(first.size(), 10U);
    EXPECT_EQ(first.size(), second.size());
    for (const auto& [name, content] : first) {
      ASSERT_TRUE(second.contains(name)) << name << " is missing in " << b.output;
      EXPECT_TRUE(content == second.at(name)) << name << " differs";
    }
  }
};

// Which exchanges of gradients begin while a backward pass is at work.
class WatchesGradients final : public Lent {
 public:
  using Lent::Lent;
  comm::PendingPtr start_all_reduce(at::Tensor sum, const char* what) override {
    note(what);
    return Lent::start_all_reduce(sum, what);
  }
  comm::PendingPtr start_reduce_scatter(at::Tensor sum_C, at::Tensor input_RC, const char* what) override {
    note(what);
    return Lent::start_reduce_scatter(sum_C, input_RC, what);
  }
  int64_t during = 0, after = 0;

 private:
  void note(const std::string& what) {
    if (what == "the gradients") ++(torch::autograd::get_current_graph_task_id() >= 0 ? during : after);
  }
};

TEST_F(RanksTest, AFixedOrderGivesTheSameBytesForAnyNumberOfRanks) {
  for (const Precision precision : {Precision::F32, Precision::Bf16}) {
    const std::string name = precision == Precision::F32 ? "f32" : "bf16";
    std::vector<TrainOptions> runs;
    for (const int64_t ranks : {1, 2, 3}) {
      TrainOptions& o = runs.emplace_back(options(fmt::format("{}-{}", name, ranks)));
      o.comm.fixed_order = true;
      o.precision = precision;
      expect_all_well(train(ranks, o));
    }
    for (const size_t i : {1, 2}) {
      SCOPED_TRACE(fmt::format("{}, {} ranks", name, i + 1));
      expect_same_results(runs[0], runs[i]);
    }
  }
}

TEST_F(RanksTest, RolloutsAreTheSameAndWeightsEqualToTheRoundingOfSums) {
  for (const int64_t seed : {1, 2, 3}) {
    std::vector<TrainOptions> runs;
    for (const int64_t ranks : {1, 2, 3}) {
      runs.push_back(options(fmt::format("run-{}-{}", seed, ranks)));
      runs.back().seed = seed;
      expect_all_well(train(ranks, runs.back()));
    }
    const auto first = test::results_of(runs[0]);
    const auto rows = test::rows_without_times(fs::path(runs[0].output) / "metrics.jsonl");
    for (const size_t i : {1, 2}) {
      SCOPED_TRACE(fmt::format("seed {}, {} ranks", seed, i + 1));
      const auto results = test::results_of(runs[i]);
      EXPECT_TRUE(first.at("rollouts/step-1.jsonl") == results.at("rollouts/step-1.jsonl"));
      for (int64_t step = 1; step <= 3; ++step)
        EXPECT_TRUE(words(runs[0], step) == words(runs[i], step)) << "step " << step;
      expect_equal_to_rounding(runs[0], runs[i]);
      const auto other = test::rows_without_times(fs::path(runs[i].output) / "metrics.jsonl");
      ASSERT_EQ(rows.size(), other.size());
      for (size_t step = 0; step < rows.size(); ++step) {
        EXPECT_GT(rows[step]["optim/grad_norm"], 0);
        for (const auto& [key, value] : rows[step].items()) {
          if (key == "update/packed_tokens") continue;  // prompts repeated where a group is divided
          if (key.starts_with("mismatch/")) continue;   // rounding and nothing else
          const double expected = value, found = other[step].at(key);
          double tolerance = 2e-5 * std::max(1e-2, std::abs(expected));
          if (key == "loss/policy")
            tolerance = std::min(tolerance, 1e-6 * scale_of_loss(runs[0], static_cast<int64_t>(step) + 1));
          if (key == "optim/grad_norm") tolerance = 1e-6 * expected;
          EXPECT_NEAR(found, expected, tolerance) << key << " of step " << step + 1;
        }
      }
    }
  }
}

TEST_F(RanksTest, SharesOfTheOptimiserGiveTheSameWeights) {
  for (const Precision precision : {Precision::F32, Precision::Bf16}) {
    TrainOptions alone = options(precision == Precision::F32 ? "f32" : "bf16");
    alone.comm.fixed_order = true;  // the same micro-batches, whose bf16 gradients are rounded
    alone.precision = precision;
    expect_all_well(train(1, alone));
    for (const Shard shard : {Shard::Optimizer, Shard::Gradients, Shard::Parameters})
      for (const int64_t ranks : {2, 3}) {
        TrainOptions o = alone;
        o.comm.shard = shard;
        o.output += fmt::format("-{}-{}", core::name_of(comm::kShardNames, shard), ranks);
        SCOPED_TRACE(o.output);
        expect_all_well(train(ranks, o));
        for (int64_t step = 1; step <= 3; ++step) EXPECT_LT(distance(alone, o, step), 1e-6) << "step " << step;
      }
  }
}

TEST_F(RanksTest, SharesWithoutAFixedOrder) {
  TrainOptions alone = options("alone");
  expect_all_well(train(1, alone));
  for (const Shard shard : {Shard::Optimizer, Shard::Gradients, Shard::Parameters}) {
    TrainOptions o = options(std::string(core::name_of(comm::kShardNames, shard)));
    o.comm.shard = shard;
    SCOPED_TRACE(o.output);
    expect_all_well(train(3, o));
    expect_equal_to_rounding(alone, o);
  }
}

// Gathered whole or layer by layer, by ranks of which some have nothing to compute, blocks kept or computed again. The
// gradient's norm is summed in other parts, so its last bit may differ.
TEST_F(RanksTest, ShardedParametersGiveTheWeightsOfShardedGradients) {
  struct Case {
    Precision precision;
    bool checkpointing;
    int64_t ranks;
  };
  for (const Case& c : {Case{Precision::F32, false, 2}, Case{Precision::F32, true, 3}, Case{Precision::Bf16, false, 3},
                        Case{Precision::Bf16, true, 2}}) {
    TrainOptions gradients = options(fmt::format("{}-{}", c.precision == Precision::F32 ? "f32" : "bf16", c.ranks));
    gradients.precision = c.precision;
    gradients.update.gradient_checkpointing = c.checkpointing;
    gradients.comm.fixed_order = true;
    gradients.comm.shard = Shard::Gradients;
    expect_all_well(train(c.ranks, gradients));
    for (const comm::Gather gather : {comm::Gather::Keep, comm::Gather::Whole, comm::Gather::Layer}) {
      TrainOptions o = gradients;
      o.comm.shard = Shard::Parameters;
      o.comm.gather = gather;
      o.output += fmt::format("-{}", core::name_of(comm::kGatherNames, gather));
      SCOPED_TRACE(o.output);
      expect_all_well(train(c.ranks, o));
      for (int64_t step = 1; step <= 3; ++step) {
        EXPECT_LT(distance(gradients, o, step), 1e-6) << "step " << step;
        EXPECT_TRUE(words(gradients, step) == words(o, step)) << "step " << step;
      }
    }
  }
}

TEST_F(RanksTest, AModelThatTeachesIsShardedToo) {
  TrainOptions alone = options("alone");
  alone.steps = 2;
  alone.comm.fixed_order = true;
  test::let_the_model_teach(alone, folder_.path());
  const auto train_with_model = [](int64_t num_ranks, const TrainOptions& o) {
    return run_ranks(num_ranks, [&](comm::Communicator& comm) { Trainer(o, "{}\n", nullptr, lend(comm)).run({}); });
  };
  expect_all_well(train_with_model(2, alone));
  for (const comm::Gather gather : {comm::Gather::Keep, comm::Gather::Whole, comm::Gather::Layer}) {
    TrainOptions o = alone;
    o.comm.shard = Shard::Parameters;
    o.comm.gather = gather;
    o.output += fmt::format("-{}", core::name_of(comm::kGatherNames, gather));
    SCOPED_TRACE(o.output);
    expect_all_well(train_with_model(2, o));
    EXPECT_LT(distance(alone, o, 2), 1e-6);
    EXPECT_TRUE(words(alone, 2) == words(o, 2));

    // A rank's teacher that runs out of memory begins anew among the others.
    TrainOptions failed = o;
    failed.output += "-failed";
    expect_all_well(run_ranks(2, [&](comm::Communicator& comm) {
      Trainer trainer(failed, "{}\n", nullptr, lend(comm));
      int looks = 0;  // the first is the phase's beginning, the others rounds of sampling
      trainer.stops().observer = [&](int64_t step, const std::string& phase) {
        if (comm.rank() == 1 && step == 1 && phase == "teacher" && ++looks == 2) throw std::bad_alloc();
      };
      trainer.run();
      EXPECT_EQ(trainer.parts().teacher_engine->max_sequences(),
                failed.engine.max_sequences / (comm.rank() == 1 ? 2 : 1));
    }));
    expect_same_results(o, failed);
  }
}

TEST_F(RanksTest, ARankThatRunsOutOfMemoryGoesOnAmongTheOthers) {
  for (const comm::Gather gather : {comm::Gather::Keep, comm::Gather::Whole, comm::Gather::Layer}) {
    TrainOptions whole = options(std::string(core::name_of(comm::kGatherNames, gather)));
    whole.comm.shard = Shard::Parameters;
    whole.comm.gather = gather;
    whole.steps = 2;
    SCOPED_TRACE(whole.output);
    expect_all_well(train(2, whole));
    TrainOptions o = whole;
    o.output += "-failed";
    expect_all_well(run_ranks(2, [&](comm::Communicator& comm) {
      Trainer trainer(o, "{}\n", answering_teacher(o), lend(comm));
      int looks = 0;  // the first is the phase's beginning, the others rounds of sampling
      trainer.stops().observer = [&](int64_t step, const std::string& phase) {
        if (comm.rank() == 1 && step == 1 && phase == "sampling" && ++looks == 4) throw std::bad_alloc();
      };
      trainer.run();
      EXPECT_EQ(trainer.parts().engine->max_sequences(), o.engine.max_sequences / (comm.rank() == 1 ? 2 : 1));
    }));
    expect_same_results(whole, o);
  }
}

TEST_F(RanksTest, ARunGoesOnWithAnotherNumberOfRanks) {
  TrainOptions whole = options("whole");
  whole.comm.fixed_order = true;
  expect_all_well(train(1, whole));
  for (const int64_t ranks : {1, 3}) {
    TrainOptions o = whole;
    o.output = (folder_.path() / fmt::format("resumed-by-{}", ranks)).string();
    expect_all_well(train(2, o, false, 1));
    expect_all_well(train(ranks, o, true));
    expect_same_results(whole, o);
  }
  // Shares are put together and divided anew.
  TrainOptions o = whole;
  o.output = (folder_.path() / "shares").string();
  o.comm.shard = Shard::Gradients;
  expect_all_well(train(2, o, false, 1));
  o.comm.shard = Shard::Parameters;
  expect_all_well(train(3, o, true, 1));
  o.comm.shard = Shard::None;
  expect_all_well(train(1, o, true));
  EXPECT_LT(distance(whole, o, 3), 1e-6);
}

TEST_F(RanksTest, GradientsTravelWhileTheBackwardPassGoesOn) {
  model::ModelConfig config = thinktune::test::tiny_config();
  config.hidden_size = 256;
  config.intermediate_size = 1024;  // two matrices of a layer are larger than a bucket
  const model::Weights weights = thinktune::test::random_weights(config, 1, at::kFloat);
  thinktune::test::bias_end_of_turn(weights, test::kSometimesEnds);
  fs::create_directories(folder_.path() / "wide");
  model::save_pretrained(folder_.path() / "wide", config, weights, thinktune::test::byte_vocabulary(config));
  for (const Shard shard : {Shard::None, Shard::Optimizer, Shard::Gradients, Shard::Parameters}) {
    TrainOptions o = options(std::string(core::name_of(comm::kShardNames, shard)));
    o.model = (folder_.path() / "wide").string();
    o.comm.shard = shard;
    o.steps = 1;
    SCOPED_TRACE(o.output);
    expect_all_well(run_ranks(2, [&](comm::Communicator& ranks) {
      auto comm = std::make_unique<WatchesGradients>(ranks);
      const WatchesGradients& seen = *comm;
      Trainer trainer(o, "{}\n", answering_teacher(o), std::move(comm));
      trainer.run();
      EXPECT_GE(seen.during, 3) << "and " << seen.after << " after it";
    }));
  }
}

TEST_F(RanksTest, MoreRanksThanPrompts) {
  TrainOptions alone = options("alone");
  alone.rollout.prompts_per_step = alone.update.mini_batch_prompts = 2;
  alone.data.arithmetic.num_heldout = 1;
  alone.comm.fixed_order = true;
  TrainOptions three = alone;
  three.output = (folder_.path() / "three").string();
  expect_all_well(train(1, alone));
  expect_all_well(train(3, three));
  expect_same_results(alone, three);
}

}  // namespace
}  // namespace thinktune::train
