// eval by suites and protocols, and eval compare, as a user runs them.
#include "program.h"

namespace thinktune::cli {
namespace {

class Eval : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_text(data_dir_ / "gsm8k/test.jsonl",
               "{\"id\": \"g0\", \"problem\": \"1+1?\", \"answer\": \"2\", \"solution\": \"#### 2\"}\n"
               "{\"id\": \"g1\", \"problem\": \"2+1?\", \"answer\": \"3\", \"solution\": \"#### 3\"}\n");
    write_text(data_dir_ / "arc_easy/test.jsonl",
               "{\"id\": \"e0\", \"problem\": \"Which?\", \"choices\": [\"a\", \"b\"], \"answer\": \"B\"}\n");
    std::string shots;
    for (int i = 0; i < 5; ++i)
      shots += "{\"problem\": \"0+" + std::to_string(i) + "?\", \"solution\": \"#### " + std::to_string(i) + "\"}\n";
    write_text(data_dir_ / "gsm8k/train.jsonl", shots);
  }

  Outcome eval(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"eval", "--model", model_.string(), "--precision", "f32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  std::vector<std::string> suite(const std::string& names, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--suite", names, "--data-dir", data_dir_.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string out(const std::string& name) const { return (folder_.path() / name).string(); }

  fs::path data_dir_ = folder_.path() / "data";
};

TEST_F(Eval, SuitesLeaveSamplesAndSummaries) {
  const Outcome outcome = eval(suite("gsm8k,arc_easy", {"--max-new-tokens", "6", "--out", out("a")}));
  expect_success(outcome);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("pass@1"), HasSubstr("95 % interval"), HasSubstr("gsm8k"), HasSubstr("arc_easy"),
                    HasSubstr("protocol thinktuning/1"), HasSubstr("not the protocol's own: max_new_tokens")));
  EXPECT_EQ(read_rows(out("a") + "/gsm8k/samples.jsonl").size(), 2u);
  const json overview = json::parse(read_text(out("a") + "/summary.json"));
  ASSERT_EQ(overview.at("suites").size(), 2u);
  EXPECT_EQ(overview.at("suites")[1].at("suite"), "arc_easy");
  // Again: nothing is left to do, and nothing changes.
  const auto before = snapshot(out("a") + "/gsm8k");
  expect_success(eval(suite("gsm8k,arc_easy", {"--max-new-tokens", "6", "--out", out("a")})));
  for (const auto& [name, content] : snapshot(out("a") + "/gsm8k")) {
    if (name != "timing.json") {
      EXPECT_EQ(content, before.at(name)) << name;
    }
  }
  expect_refused(eval(suite("gsm8k", {"--max-new-tokens", "7", "--out", out("a")})),
                 {"other settings", "max_new_tokens was 6 and is now 7", "choose another --out"});
}

TEST_F(Eval, PublishedProtocolsWithExamplesAndScores) {
  const Outcome outcome = eval(suite("gsm8k", {"--protocol", "lm-eval", "--max-new-tokens", "4", "--out", out("l")}));
  expect_success(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("lm-eval/1"), HasSubstr("the first 5 worked examples of gsm8k/train.jsonl"),
                                 HasSubstr("differs from what is published")));
  const Outcome scored = eval(suite("arc_easy", {"--protocol", "lm-eval/1", "--out", out("s")}));
  expect_success(scored);
  EXPECT_THAT(scored.out, AllOf(HasSubstr("acc_norm"), HasSubstr("acc_bytes")));
  fs::remove(data_dir_ / "gsm8k/train.jsonl");
  expect_refused(eval(suite("gsm8k", {"--protocol", "lm-eval"})),
                 {"asked with 5 worked examples", "gsm8k/train.jsonl", "github.com/openai/grade-school-math"});
}

TEST_F(Eval, SeveralSamplesOfOnesOwnFile) {
  const Outcome outcome =
      eval({"--data", data_.string(), "--protocol", "thinktuning", "--samples", "3", "--temperature", "1",
            "--max-new-tokens", "5", "--limit", "2", "--seed", "4", "--out", out("own")});
  expect_success(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("2 × 3"), HasSubstr("pass@3")));
  EXPECT_EQ(read_rows(out("own") + "/train/samples.jsonl").size(), 6u);
}

// Without a config the default protocol asks for the box in which it then looks.
TEST_F(Eval, OnesOwnFileIsASuiteWithoutFurtherWords) {
  expect_success(eval({"--data", data_.string(), "--max-new-tokens", "5", "--out", out("own")}));
  EXPECT_EQ(json::parse(read_text(out("own") + "/train/summary.json")).at("protocol"), "thinktuning/1");
}

TEST_F(Eval, ComparesTwoModels) {
  const fs::path other = folder_.path() / "other";
  test::write_tiny_model(other, 8);
  expect_success(eval(suite("gsm8k", {"--max-new-tokens", "4", "--out", out("a")})));
  expect_success(run_program({"eval", "--model", other.string(), "--suite", "gsm8k", "--data-dir", data_dir_.string(),
                              "--precision", "f32", "--max-new-tokens", "4", "--out", out("b")}));
  const Outcome table = run_program({"eval", "compare", out("a"), out("b")});
  expect_success(table);
  EXPECT_THAT(table.out, AllOf(HasSubstr("B - A"), HasSubstr("95 % interval"), HasSubstr("10000 resamples, seed 0"),
                               HasSubstr("won (0)"), HasSubstr("lost (0)")));
  expect_refused(run_program({"eval", "compare", out("a"), out("nowhere")}), {"no finished evaluation"});
  expect_success(eval(suite("gsm8k", {"--protocol", "lm-eval", "--max-new-tokens", "4", "--out", out("p")})));
  expect_refused(run_program({"eval", "compare", out("a"), out("p")}),
                 {"cannot be compared", "one is by thinktuning/1, the other by lm-eval/1"});
  expect_refused(run_program({"eval", "compare", out("a")}), {"eval: "});
}

TEST_F(Eval, WhatIsMissingOrUnknownIsSaid) {
  expect_refused(eval(suite("gsm9k")), {"no suite \"gsm9k\"", "gsm8k"});
  expect_refused(eval(suite("gsm8k", {"--protocol", "simple-evals"})), {"does not say how to ask gsm8k", "math500"});
  expect_refused(eval(suite("gsm8k", {"--protocol", "lmeval"})), {"no protocol \"lmeval\"", "lm-eval/1"});
  expect_refused(eval(suite("gpqa_diamond")),
                 {"gpqa/gpqa_diamond.csv", "github.com/idavidrein/gpqa", "put it there under that name"});
  expect_refused(eval(suite("gsm8k,gsm8k")), {"names gsm8k twice"});
  expect_refused(eval(suite("gsm8k", {"--samples", "4"})), {"4 samples of gsm8k at temperature 0"});
  expect_refused(eval({"--suite", "gsm8k"}), {"--suite needs --data-dir"});
  expect_refused(eval({}), {"there is nothing to evaluate on", "--suite"});
  expect_refused(run_program({"eval", "--suite", "gsm8k"}), {"--model"});
}

TEST_F(Eval, OptionsOfTheOtherWayAreRefused) {
  expect_refused(eval(suite("gsm8k", {"--config", config_.string()})), {"--config has no meaning here"});
  expect_refused(eval(suite("gsm8k", {"--output", out("x")})), {"--output has no meaning here", "samples.jsonl"});
  const auto by_config = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--config", config_.string(), "--data", data_.string()});
    return eval(std::move(arguments));
  };
  expect_refused(by_config({"--samples", "2"}), {"--samples has no meaning here", "eval.samples"});
  expect_refused(by_config({"--out", out("x")}), {"--out has no meaning here", "--output"});
  expect_refused(eval({"--data", data_.string(), "--output", out("x"), "--limit", "2"}),
                 {"--limit has no meaning here"});
  expect_refused(eval(suite("gsm8k", {"--data", data_.string()})), {"--suite and --data are both there"});
}

TEST_F(Eval, ByConfigSeveralSamplesAreMeasured) {
  const fs::path answers = folder_.path() / "answers.jsonl";
  expect_success(eval({"--config", config_.string(), "--set", "eval.samples=2", "--set", "eval.sampling.temperature=1",
                       "--output", answers.string()}));
  const auto rows = read_rows(answers);
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows[1].at("sample"), 1);
  expect_refused(eval({"--config", config_.string(), "--set", "eval.samples=2"}), {"eval.samples is 2"});
}

}  // namespace
}  // namespace thinktune::cli
