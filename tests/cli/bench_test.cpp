// bench through the program: the table that people read, and the same as JSON.
#include "program.h"

namespace thinktune::cli {
namespace {

class Bench : public ProgramTest {
 protected:
  // Two updates a step, so that old log-probabilities have a pass of their own; answers that end, so that the teacher
  // is asked.
  void SetUp() override {
    ProgramTest::SetUp();
    const model::ModelConfig config = test::tiny_config();
    const model::Weights weights = test::random_weights(config, 7, at::kFloat);
    test::bias_end_of_turn(weights, 2.5);
    model::save_pretrained(model_, config, weights, test::byte_vocabulary(config));
    write_config({{"update", {{"mini_batch_prompts", 1}}},
                  {"rollout", {{"max_new_tokens", kNewTokens}}},
                  {"guidance", {{"schedule", {{"kind", "constant"}, {"init", 0.5}}}}}});
  }

  Outcome bench(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"bench", "--config", config_.string(), "--steps", "1", "--warm-up", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }

  static constexpr int kNewTokens = 30;
  // The teacher, who is greedy, ends with his first token, so that he has no decode step: that part is left out.
  static constexpr const char* kParts[] = {"sample",           "sample: prefill", "sample: decode", "teacher",
                                           "teacher: prefill", "old log-probs",   "update"};
};

TEST_F(Bench, JsonHoldsEveryPartBesideItsProducts) {
  const auto before = snapshot(folder_.path());
  const Outcome outcome = bench({"--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result["step_s"].size(), 1U);
  EXPECT_EQ(result["rollouts_a_step"], 4);
  EXPECT_GT(result["response_tokens_a_step"], 4);
  for (const char* key : {"product_gflops", "ready_s", "peak_bytes"}) EXPECT_GT(result[key], 0) << key;
  std::vector<std::string> names;
  for (const json& part : result["parts"]) {
    SCOPED_TRACE(part.dump());
    names.push_back(part["name"]);
    for (const char* key : {"seconds_a_step", "tokens_a_step", "tokens_per_s", "products_s_a_step", "gflops"})
      EXPECT_GT(part[key], 0) << key;
    EXPECT_GT(part["share_of_product_peak"], 0);
    EXPECT_LE(part["share_of_product_peak"], 1.05);
    const bool has_passes = part["name"] != "sample" && part["name"] != "teacher";
    EXPECT_EQ(part.contains("rows_a_pass"), has_passes);
    EXPECT_TRUE(!has_passes || part["rows_a_pass"] > 0);
    EXPECT_LE(part.value("peak_bytes", int64_t{0}), result["peak_bytes"]);
  }
  EXPECT_THAT(names, testing::ElementsAreArray(kParts));
  EXPECT_TRUE(snapshot(folder_.path()) == before) << "a bench writes nothing";
}

TEST_F(Bench, EqualWorkHasAsManyRowsInEveryPass) {
  const Outcome outcome = bench({"--json", "--ignore-eos"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result["response_tokens_a_step"], 4 * kNewTokens);
  EXPECT_EQ(result["parts"][2]["name"], "sample: decode");
  EXPECT_EQ(result["parts"][2]["rows_a_pass"], 4);
}

TEST_F(Bench, TheTableHasALineAPart) {
  const Outcome outcome = bench({});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_THAT(line, AllOf(StartsWith("part"), HasSubstr("rows a pass"), HasSubstr("of peak"), HasSubstr("memory, GB")));
  for (const std::string name : kParts) {
    std::getline(lines, line);
    EXPECT_THAT(line, AllOf(StartsWith(name), HasSubstr(" % ")));
  }
  std::getline(lines, line);
  EXPECT_THAT(line, StartsWith("step"));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("products: "), HasSubstr("ready after "), HasSubstr("peak memory ")));
}

}  // namespace
}  // namespace thinktune::cli
