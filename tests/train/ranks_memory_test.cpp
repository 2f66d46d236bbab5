// What a rank's memory rises to with everything on each rank, and with more and more of it divided.
#include <malloc.h>

#include <fstream>
#include <map>

#include "support/lent_communicator.h"
#include "support/peak_memory.h"
#include "support/ranks.h"
#include "train/small_run.h"

namespace thinktune::train {
namespace {

namespace fs = std::filesystem;
using comm::Shard;
using thinktune::test::Lent;
using thinktune::test::PeakMemory;

// Most of a rank's memory is what can be divided: many layers, each small against all of them, and few words.
model::ModelConfig deep_config() {
  model::ModelConfig c = thinktune::test::tiny_config();
  c.num_layers = 24;
  c.hidden_size = 256;
  c.intermediate_size = 1024;
  c.num_heads = c.num_kv_heads = 4;
  c.head_dim = c.rotary_dim = 64;
  c.attention_scale = 1.0 / 8;
  return c;
}

class RanksMemory : public testing::Test {
 protected:
  RanksMemory() {
    at::set_num_threads(1);
    ::mallopt(M_MMAP_THRESHOLD, 1 << 20);  // what is freed leaves the process: what is resident is held
    const model::Weights weights = model::map_weights(model::empty_weights(config_, at::kFloat), [](at::Tensor t) {
      return t.dim() == 1 ? t.fill_(1) : t.normal_(0, 0.04);
    });
    fs::create_directories(folder_.path() / "model");
    model::save_pretrained(folder_.path() / "model", config_, weights, thinktune::test::byte_vocabulary(config_));
  }

  // Several micro-batches a rank: gradients are added up over them.
  TrainOptions options(Precision precision, Shard shard) const {
    TrainOptions o = test::small_options(folder_.path());
    o.precision = precision;
    o.steps = 1;
    o.rollout.prompts_per_step = o.update.mini_batch_prompts = 8;
    o.rollout.group_size = 2;
    o.rollout.max_new_tokens = 8;
    o.update.micro_batch_tokens = 256;
    o.update.gradient_checkpointing = true;
    o.loss.entropy_coefficient = 0.01;
    o.comm.shard = shard;
    o.comm.gather = comm::Gather::Layer;
    o.comm.bucket_mib = 1;
    return o;
  }

  struct Peaks {
    double update = 0, saving = 0;  // bytes a parameter, of the rank that takes most
  };

  Peaks train(const TrainOptions& o) const {
    const auto report = [&](int64_t rank) { return folder_.path() / fmt::format("rank-{}", rank); };
    thinktune::test::expect_all_well(thinktune::test::run_ranks(
        2,
        [&](comm::Communicator& comm) {
          std::map<std::string, int64_t> peaks;
          PeakMemory peak;
          Trainer trainer(o, "{}\n", test::answering_teacher(o), std::make_unique<Lent>(comm));
          std::string current = "set-up";
          const auto look = [&](const std::string& phase) {
            if (phase == current) return;
            peaks[current] = peak.rise().value_or(0);
            peak.begin_anew();
            current = phase;
          };
          trainer.stops().observer = [&](int64_t, const std::string& phase) { look(phase); };
          trainer.run();
          look("end");
          std::string text;
          std::ofstream file(report(comm.rank()));
          for (const auto& [phase, bytes] : peaks) text += fmt::format("{} {:.1f}  ", phase, per_parameter(bytes));
          file << per_parameter(peaks.at("update")) << " " << per_parameter(peaks.at("saving"));
          std::printf("%s, rank %ld: %s\n", std::string(core::name_of(comm::kShardNames, o.comm.shard)).c_str(),
                      static_cast<long>(comm.rank()), text.c_str());
        },
        /*timeout_s=*/120, /*limit_s=*/600));
    fs::remove_all(o.output);
    Peaks most;
    for (const int64_t rank : {0, 1}) {
      double update = 0, saving = 0;
      std::ifstream(report(rank)) >> update >> saving;
      most.update = std::max(most.update, update);
      most.saving = std::max(most.saving, saving);
    }
    return most;
  }

  double per_parameter(int64_t bytes) const {
    return static_cast<double>(bytes) / static_cast<double>(model::num_parameters(config_));
  }

  const model::ModelConfig config_ = deep_config();
  thinktune::test::TempFolder folder_;
};

TEST_F(RanksMemory, FallsWithWhatIsDivided) {
  if (!PeakMemory().rise()) GTEST_SKIP() << "it cannot be told how much memory is resident";
  for (const Precision precision : {Precision::F32, Precision::Bf16}) {
    std::map<Shard, Peaks> peaks;
    for (const Shard shard : {Shard::None, Shard::Optimizer, Shard::Gradients, Shard::Parameters})
      peaks[shard] = train(options(precision, shard));
    const auto falls = [&](Shard from, Shard to) { return peaks[from].update - peaks[to].update; };
    // README's table for two ranks; half of each difference is left to buckets and layers on their way.
    const bool f32 = precision == Precision::F32;
    EXPECT_GT(falls(Shard::None, Shard::Optimizer), f32 ? 1 : 3);
    EXPECT_GT(falls(Shard::Optimizer, Shard::Gradients), 1);
    EXPECT_GT(falls(Shard::Gradients, Shard::Parameters), f32 ? 1 : 0.4);
    for (const Shard shard : {Shard::Optimizer, Shard::Gradients, Shard::Parameters})
      EXPECT_LT(peaks[shard].saving, peaks[Shard::None].update) << "rank 0 holds no more to save it";
  }
}

}  // namespace
}  // namespace thinktune::train
