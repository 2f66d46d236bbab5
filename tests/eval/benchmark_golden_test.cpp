// The whole path on the real model: the first rows of every suite that is there, with few tokens.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/paths.h"
#include "thinktune/core/error.h"
#include "thinktune/eval/benchmark.h"
#include "thinktune/model/pretrained.h"

namespace thinktune::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class RealModel : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!fs::exists(test::model_file())) return;
    const model::Pretrained pretrained(test::model_file());
    config_ = new model::ModelConfig(pretrained.config());
    vocabulary_ = new model::Vocabulary(pretrained.load_vocabulary({}));
    model::add_end_of_turn(*config_, *vocabulary_);
    decoder_ = new model::Decoder(*config_);
    weights_ = new model::Weights(pretrained.load_weights(at::kBFloat16));
    engine_ = new infer::Engine(*decoder_, *weights_, *vocabulary_->tokenizer, {.max_sequences = 8});
  }
  static void TearDownTestSuite() {
    delete std::exchange(engine_, nullptr);
    delete std::exchange(weights_, nullptr);
    delete std::exchange(decoder_, nullptr);
    delete std::exchange(vocabulary_, nullptr);
    delete std::exchange(config_, nullptr);
  }

  void SetUp() override {
    TT_REQUIRE_FILE(test::model_file());
    TT_REQUIRE_FILE(test::data_folder());
  }

  // The first two problems; a few tokens.
  BenchmarkResult run(const std::string& protocol, const std::string& suite, const fs::path& data_dir,
                      int64_t max_new_tokens = 6) {
    const SuiteInfo& info = find_suite(suite);
    const Subject subject = {.engine = *engine_,
                             .tokenizer = *vocabulary_->tokenizer,
                             .chat = vocabulary_->chat.get(),
                             .config = *config_,
                             .path = test::model_file().string(),
                             .precision = "bf16",
                             .program = "test"};
    ResolvedTask resolved = resolve_task(find_protocol(protocol), suite, info.kind, {});
    resolved.task.max_new_tokens = std::min(resolved.task.max_new_tokens, max_new_tokens);
    resolved.task.samples = std::min<int64_t>(resolved.task.samples, 2);
    return run_benchmark(subject, load_suite(info, data_dir), resolved,
                         {.limit = 2, .slots = 8, .folder = out(protocol, suite), .data_dir = data_dir});
  }

  fs::path out(const std::string& protocol, const std::string& suite) const {
    return folder_.path() / protocol / suite;
  }

  std::vector<json> rows(const std::string& protocol, const std::string& suite) const {
    std::vector<json> all;
    std::ifstream in(out(protocol, suite) / "samples.jsonl");
    for (std::string line; std::getline(in, line);) all.push_back(json::parse(line));
    return all;
  }

  void expect_whole(const std::string& protocol, const std::string& suite, const BenchmarkResult& result) const {
    SCOPED_TRACE(protocol + " " + suite);
    EXPECT_EQ(result.metrics.num_problems, 2);
    EXPECT_EQ(result.metrics.num_too_long, 0);
    const std::vector<json> all = rows(protocol, suite);
    EXPECT_EQ(std::ssize(all), 2 * result.metrics.num_samples);
    for (const json& row : all) {
      EXPECT_NE(row.at("reason"), "");
      if (result.resolved.task.form != PromptForm::Score) {
        EXPECT_GT(row.at("tokens"), 0);
      }
    }
    EXPECT_TRUE(fs::exists(out(protocol, suite) / "summary.json"));
  }

  test::TempFolder folder_;
  static inline model::ModelConfig* config_ = nullptr;
  static inline model::Vocabulary* vocabulary_ = nullptr;
  static inline model::Decoder* decoder_ = nullptr;
  static inline model::Weights* weights_ = nullptr;
  static inline infer::Engine* engine_ = nullptr;
};

TEST_F(RealModel, EverySuiteByOurProtocol) {
  for (const SuiteInfo& info : suites()) {
    if (info.name == "gpqa_diamond") continue;  // is in no folder of ours
    const std::string suite(info.name);
    expect_whole("thinktuning", suite, run("thinktuning", suite, test::data_folder()));
  }
}

TEST_F(RealModel, ThePublishedFilesHaveTheirNumberOfProblems) {
  for (const SuiteInfo& info : suites()) {
    if (info.name == "gpqa_diamond") continue;
    EXPECT_EQ(std::ssize(load_suite(info, test::data_folder()).problems), info.num_problems) << info.name;
  }
}

TEST_F(RealModel, ThePublishedProtocols) {
  for (const char* suite : {"gsm8k", "aime2024", "aime2025", "arc_challenge", "arc_easy"})
    expect_whole("lm-eval", suite, run("lm-eval", suite, test::data_folder()));
  for (const char* suite : {"math500", "aime2024", "aime2025", "gsm8k"})
    expect_whole("lighteval", suite, run("lighteval", suite, test::data_folder()));
  expect_whole("simple-evals", "math500", run("simple-evals", "math500", test::data_folder()));
}

// With five worked examples even this model keeps the form: the strict rule finds what stands behind ####.
TEST_F(RealModel, WorkedExamplesTeachTheFormOfTheAnswer) {
  run("lm-eval", "gsm8k", test::data_folder(), 100);
  int64_t in_form = 0;
  for (const json& row : rows("lm-eval", "gsm8k")) {
    in_form += row.at("strict") != "unparsed";
    EXPECT_EQ(row.at("text").get<std::string>().find("Question:"), std::string::npos);
  }
  EXPECT_GE(in_form, 1);
}

}  // namespace
}  // namespace thinktune::eval
