#include "thinktune/train/bench.h"

#include <gmock/gmock.h>

#include "train/small_run.h"

namespace thinktune::train {
namespace {

class BenchTest : public testing::Test {
 protected:
  BenchTest() { test::write_model(folder_.path() / "model"); }

  std::vector<std::string> part_names(const BenchResult& result) const {
    std::vector<std::string> names;
    for (const BenchPart& part : result.parts) names.push_back(part.name);
    return names;
  }

  thinktune::test::TempFolder folder_;
};

TEST_F(BenchTest, MeasuresThePartsOfAStep) {
  TrainOptions options = test::small_options(folder_.path());
  options.loss.entropy_coefficient = 0.01;  // a random model earns nothing: no update without
  options.guidance.enabled = false;
  const BenchResult result = run_bench(options, {.steps = 2, .warm_up = 1});
  EXPECT_EQ(result.step_s.size(), 2u);
  EXPECT_EQ(result.num_rollouts, 2 * 4 * 3);
  EXPECT_GT(result.response_tokens, 0);
  EXPECT_GT(result.product_gflops, 0);
  EXPECT_GT(result.peak_bytes, 1 << 20);
  ASSERT_FALSE(result.parts.empty());
  EXPECT_EQ(result.parts[0].name, "sample");
  EXPECT_EQ(result.parts[0].tokens, result.response_tokens);
  double seconds = 0;
  for (const BenchPart& part : result.parts) {
    EXPECT_GT(part.seconds, 0) << part.name;
    EXPECT_GT(part.products_s, 0) << part.name;
    EXPECT_LE(part.products_s, part.seconds) << part.name;
    EXPECT_GT(part.operations, 0) << part.name;
    if (part.name.find(':') == std::string::npos) seconds += part.seconds;  // not what is part of another
  }
  EXPECT_LE(seconds, result.step_s[0] + result.step_s[1]);
  EXPECT_GT(result.parts[0].peak_bytes, 1 << 20);
  EXPECT_LE(result.parts[0].peak_bytes, result.peak_bytes);
  EXPECT_FALSE(std::filesystem::exists(options.output)) << "a bench writes nothing";
}

// A KL term has passes of its own before the update.
TEST_F(BenchTest, PassesBeforeTheUpdateAreAPart) {
  TrainOptions options = test::small_options(folder_.path());
  options.guidance.enabled = false;
  options.loss.kl_coefficient = 0.1;
  options.reward.format.weight = 1;
  options.reward.repetition.weight = 1;  // so that answers differ in their rewards
  EXPECT_THAT(part_names(run_bench(options, {.steps = 1, .warm_up = 0})),
              testing::ElementsAre("sample", "sample: prefill", "sample: decode", "old log-probs", "update"));
}

}  // namespace
}  // namespace thinktune::train
