#include "thinktune/train/sharded_weights.h"

#include <ATen/ATen.h>

#include <set>

#include "support/lent_communicator.h"
#include "support/ranks.h"
#include "support/tiny_model.h"

namespace thinktune::train {
namespace {

using test::expect_all_well;
using test::run_ranks;

class CountingGathers final : public test::Lent {
 public:
  using test::Lent::Lent;
  comm::PendingPtr start_all_gather(at::Tensor output_RC, at::Tensor input_C, const char* what) override {
    ++count;
    return test::Lent::start_all_gather(output_RC, input_C, what);
  }
  int64_t count = 0;
};

// Both are used in turns, as student and teacher are; what is kept lies where it lay, and is not asked for twice.
TEST(ShardedWeights, WeightsThatComeTogetherSideBySideAreTheirOwn) {
  for (const comm::Gather gather : {comm::Gather::Keep, comm::Gather::Whole, comm::Gather::Layer})
    expect_all_well(run_ranks(2, [&](comm::Communicator& ranks) {
      SCOPED_TRACE(core::name_of(comm::kGatherNames, gather));
      CountingGathers comm(ranks);
      const model::ModelConfig config = test::tiny_config();
      const model::Weights first = test::random_weights(config, 3, at::kFloat),
                           second = test::random_weights(config, 4, at::kFloat);
      ShardedWeights student(first, at::kFloat, at::kCPU, comm, gather);
      ShardedWeights teacher(second, at::kFloat, at::kCPU, comm, gather, &student);
      const auto expect_equal = [&](ShardedWeights& sharded, const model::Weights& expected) {
        sharded.begin_pass();
        EXPECT_TRUE(at::equal(sharded.weights().embedding, expected.embedding));
        for (size_t layer = 0; layer < expected.layers.size(); ++layer) {
          sharded.load(static_cast<int64_t>(layer));
          EXPECT_TRUE(at::equal(sharded.weights().layers[layer].qkv, expected.layers[layer].qkv)) << layer;
          EXPECT_TRUE(at::equal(sharded.weights().layers[layer].down, expected.layers[layer].down)) << layer;
        }
      };
      std::set<const void*> addresses;
      std::set<int64_t> generations;
      const auto passes = [&](ShardedWeights& sharded, const model::Weights& expected) {
        sharded.passes([&] {
          expect_equal(sharded, expected);
          addresses.insert(sharded.weights().layers[1].qkv.const_data_ptr());
          generations.insert(sharded.generation());
          EXPECT_EQ(sharded.holds_all(), gather != comm::Gather::Layer);
        });
      };
      for (int turn = 0; turn < 3; ++turn) {
        passes(student, first);
        passes(teacher, second);
        passes(student, first);
        student.begin_update();
        expect_equal(student, first);
        student.end_update();
        for (const at::Tensor& tensor : model::tensor_list(first)) tensor.add_(1);
        student.set_parts(student.f32_parts(first));
      }
      if (gather == comm::Gather::Keep) {
        EXPECT_EQ(addresses.size(), 1U);
        EXPECT_EQ(comm.count, 3 * 3 * student.num_blocks()) << "the update has what the passes before it had";
      }
      // A GPU's recorded steps go by it: they are of no use where the weights may lie elsewhere.
      EXPECT_EQ(generations.size() == 1, gather == comm::Gather::Keep);
    }));
}

// A rank that runs out of memory inside of a pass begins it anew; the others, of which each goes through as many passes
// as any, notice nothing.
TEST(ShardedWeights, APassThatEndsEarlyIsFinishedAsTheOthersGoThroughIt) {
  constexpr int64_t kLayers = 5;
  expect_all_well(run_ranks(2, [](comm::Communicator& comm) {
    model::ModelConfig config = test::tiny_config();
    config.num_layers = kLayers;
    const model::Weights whole = test::random_weights(config, 3, at::kFloat);
    ShardedWeights sharded(whole, at::kFloat, at::kCPU, comm, comm::Gather::Layer);
    for (int64_t loaded = 0; loaded <= kLayers; ++loaded)
      sharded.passes([&] {
        SCOPED_TRACE(loaded);
        if (comm.rank() == 1) {
          sharded.begin_pass();
          for (int64_t layer = 0; layer < loaded; ++layer) sharded.load(layer);
          sharded.finish_pass();
        }
        sharded.begin_pass();
        for (int64_t layer = 0; layer < kLayers; ++layer) {
          sharded.load(layer);
          const auto l = static_cast<size_t>(layer);
          EXPECT_TRUE(at::equal(sharded.weights().layers[l].qkv, whole.layers[l].qkv)) << layer;
        }
        EXPECT_TRUE(at::equal(sharded.weights().embedding, whole.embedding));
      });
  }));
}

}  // namespace
}  // namespace thinktune::train
