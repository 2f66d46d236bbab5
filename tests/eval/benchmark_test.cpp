// A tiny random model through the whole of it: bytes, restarts, refusals, outcomes.
#include "thinktune/eval/benchmark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/eval/benchmark_parts.h"
#include "src/eval/summary_file.h"
#include "support/errors.h"
#include "support/small_memory.h"
#include "support/temp_folder.h"
#include "support/tiny_model.h"
#include "thinktune/core/error.h"
#include "thinktune/eval/compare.h"

namespace thinktune::eval {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using nlohmann::json;
using test::message_of_error;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + file.string());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class BenchmarkTest : public testing::Test {
 protected:
  BenchmarkTest() : config_(test::tiny_config()), weights_(test::random_weights(config_, 5, at::kFloat)) {
    test::bias_end_of_turn(weights_, 1.4);  // some responses end within the limit
    model_ = folder_.path() / "model.safetensors";
    std::ofstream(model_) << "stands for the model's file";
    std::ofstream data(folder_.path() / "own.jsonl");
    for (int i = 0; i < 11; ++i)
      data << "{\"id\": \"p" << i << "\", \"problem\": \"" << std::string(static_cast<size_t>(i), 'x')
           << "?\", \"answer\": \"" << i << "\"}\n";
    data.close();
    std::ofstream choices(folder_.path() / "choices.jsonl");
    for (int i = 0; i < 5; ++i)
      choices << "{\"id\": \"c" << i << "\", \"problem\": \"which " << i
              << "\", \"choices\": [\"abc\", \"d\", \"efghij\"], \"answer\": \""
              << "ABC"[i % 3] << "\"}\n";
    choices.close();
    suite_ = load_own_suite(folder_.path() / "own.jsonl");
    overrides_ = {.samples = 3, .max_new_tokens = 16, .temperature = 1.0};
  }

  BenchmarkResult run(const std::string& folder, int64_t limit = 0, const std::string& precision = "f32") {
    const model::Decoder decoder(config_);
    infer::Engine engine(decoder, weights_, *vocabulary_.tokenizer, {.max_sequences = 6});
    const Subject subject = {.engine = engine,
                             .tokenizer = *vocabulary_.tokenizer,
                             .chat = vocabulary_.chat.get(),
                             .config = config_,
                             .path = model_.string(),
                             .precision = precision,
                             .program = "test"};
    ResolvedTask resolved = resolve_task(find_protocol(protocol_), suite_.name, suite_.kind, overrides_);
    if (change_) change_(resolved.task);
    return run_benchmark(subject, suite_, resolved,
                         {.limit = limit,
                          .seed = seed_,
                          .slots = 6,
                          .folder = folder.empty() ? fs::path() : folder_.path() / folder / suite_.name,
                          .data_dir = folder_.path(),
                          .progress = progress_});
  }

  // What a terminal would be shown, line by line as it is rewritten.
  std::vector<std::string> shown_lines() {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> screen(std::tmpfile(), std::fclose);
    progress_ = {.redraw_every_s = 0, .stream = screen.get(), .terminal = core::ProgressOptions::Terminal::Yes};
    run("");
    std::string text(static_cast<size_t>(std::ftell(screen.get())), '\0');
    std::rewind(screen.get());
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), screen.get()), text.size());
    std::vector<std::string> lines;
    const std::string erase = "\r\033[K";
    for (size_t at = text.find(erase); at != std::string::npos;) {
      const size_t begin = at + erase.size();
      at = text.find(erase, begin);
      lines.push_back(text.substr(begin, at - begin));
    }
    return lines;
  }

  std::vector<json> rows(const std::string& folder) const {
    std::vector<json> all;
    std::istringstream lines(read(path(folder, "samples.jsonl")));
    for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
    return all;
  }

  fs::path path(const std::string& folder, const std::string& name) const {
    return folder_.path() / folder / suite_.name / name;
  }

  void expect_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* name : {"settings.json", "samples.jsonl", "summary.json"})
      EXPECT_TRUE(read(path(a, name)) == read(path(b, name))) << name;
  }

  test::TempFolder folder_;
  fs::path model_;
  model::ModelConfig config_;
  model::Weights weights_;
  model::Vocabulary vocabulary_ = test::byte_vocabulary(test::tiny_config());
  Suite suite_;
  std::string protocol_ = "thinktuning";
  Overrides overrides_;
  uint64_t seed_ = 1;
  std::function<void(Task&)> change_;
  core::ProgressOptions progress_;
};

TEST_F(BenchmarkTest, GoesOnWithFewerSequencesWhereMemoryDoesNotSuffice) {
  run("whole");
  int64_t allocations = 0;
  {
    test::SmallMemory memory;
    memory.watching = true;
    run("");
    allocations = memory.num_allocations;
  }
  ASSERT_GT(allocations, 100);
  for (const int64_t at : {allocations / 2, allocations - 10}) {
    const std::string folder = "failed at " + std::to_string(at);
    test::SmallMemory memory;
    memory.watching = true;
    memory.fails_at = at;
    run(folder);
    expect_same_bytes("whole", folder);
  }
  test::SmallMemory memory;
  memory.watching = true;
  memory.limit_bytes = 0;
  EXPECT_THROW(run("none"), std::exception);
}

TEST_F(BenchmarkTest, WritesEverySampleAndWhatItMeasured) {
  const BenchmarkResult result = run("out");
  const std::vector<json> all = rows("out");
  ASSERT_EQ(all.size(), 33u);
  int64_t ended = 0, tokens = 0;
  for (size_t r = 0; r < all.size(); ++r) {
    EXPECT_EQ(all[r].at("id"), "p" + std::to_string(r / 3));
    EXPECT_EQ(all[r].at("sample"), r % 3);
    EXPECT_EQ(all[r].at("gold"), std::to_string(r / 3));
    EXPECT_NE(all[r].at("reason"), "");
    for (const char* key : {"text", "extracted", "verdict", "strict", "lenient", "success", "finish"})
      EXPECT_TRUE(all[r].contains(key)) << key;
    ended += all[r].at("finish") == "end";
    tokens += all[r].at("tokens").get<int64_t>();
  }
  ASSERT_GT(ended, 0);
  ASSERT_LT(ended, 33);
  EXPECT_DOUBLE_EQ(result.metrics.ended_share, static_cast<double>(ended) / 33);
  EXPECT_DOUBLE_EQ(result.metrics.truncated_share, 1 - static_cast<double>(ended) / 33);
  EXPECT_DOUBLE_EQ(result.metrics.mean_tokens, static_cast<double>(tokens) / 33);
  const json summary = json::parse(read(path("out", "summary.json")));
  EXPECT_EQ(summary.at("protocol"), "thinktuning/1");
  EXPECT_EQ(summary.at("changed"), json::parse(R"(["samples", "max_new_tokens", "temperature"])"));
  EXPECT_EQ(summary.at("seed"), 1);
  EXPECT_EQ(summary.at("data").at("xxh64"), suite_.file_hash);
  EXPECT_EQ(summary.at("metrics").at("problems"), 11);
  EXPECT_TRUE(summary.at("metrics").contains("maj@3"));
  EXPECT_EQ(read(path("out", "summary.json")).find("seconds"), std::string::npos) << "the clock stays out of it";
  EXPECT_TRUE(json::parse(read(path("out", "timing.json"))).contains("seconds"));
}

// Six slots and three samples make chunks of four problems: the line does not wait for their ends.
TEST_F(BenchmarkTest, TheProgressLineFollowsEachProblem) {
  for (const bool scores : {false, true}) {
    if (scores) {
      suite_ = load_own_suite(folder_.path() / "choices.jsonl");
      suite_.name = "arc_easy";
      protocol_ = "lm-eval";
      overrides_ = {};
    }
    const auto total = suite_.problems.size();
    const std::vector<std::string> lines = shown_lines();
    for (size_t done = 1; done < total; ++done)
      EXPECT_THAT(lines, Contains(AllOf(HasSubstr(fmt::format("] {}/{}, ", done, total)), HasSubstr(" left"))));
    EXPECT_THAT(lines, Contains(HasSubstr(fmt::format("[############] {}/{}, ", total, total))));
    if (!scores) {
      // Long before the first problem is done its tokens move the bar.
      EXPECT_THAT(lines, Contains(AllOf(HasSubstr("[#...........] 0/11, "), HasSubstr(" left, 50 tokens"))));
    }
  }
}

TEST_F(BenchmarkTest, TwoRunsWriteTheSameBytes) {
  run("a");
  run("b");
  expect_same_bytes("a", "b");
  seed_ = 2;
  run("c");
  EXPECT_FALSE(read(path("a", "samples.jsonl")) == read(path("c", "samples.jsonl")));
}

TEST_F(BenchmarkTest, ALimitGivesTheBeginning) {
  run("all");
  run("some", 6);
  const std::string all = read(path("all", "samples.jsonl")), some = read(path("some", "samples.jsonl"));
  EXPECT_EQ(rows("some").size(), 18u);
  EXPECT_TRUE(all.starts_with(some));
}

// Cut anywhere, also in the middle of a line, of a character, or right behind a line.
TEST_F(BenchmarkTest, GoesOnWhereItWasStopped) {
  run("whole");
  const std::string samples = read(path("whole", "samples.jsonl"));
  int64_t most_resumed = 0;
  std::vector<size_t> cuts = {0, 1, samples.size() - 1, samples.size()};
  for (size_t cut = 77; cut < samples.size(); cut += samples.size() / 7) cuts.push_back(cut);
  for (size_t at = samples.find('\n'); at < samples.size() / 2; at = samples.find('\n', at + samples.size() / 5))
    cuts.push_back(at + 1);
  for (const size_t cut : cuts) {
    SCOPED_TRACE(cut);
    const std::string name = "cut" + std::to_string(cut);
    fs::create_directories(folder_.path() / name / suite_.name);
    fs::copy_file(path("whole", "settings.json"), path(name, "settings.json"));
    std::ofstream(path(name, "samples.jsonl"), std::ios::binary) << samples.substr(0, cut);
    const BenchmarkResult result = run(name);
    expect_same_bytes("whole", name);
    EXPECT_EQ(result.num_resumed % 4, cut == samples.size() ? 3 : 0) << "whole chunks of four problems";
    if (cut < samples.size()) most_resumed = std::max(most_resumed, result.num_resumed);
  }
  EXPECT_EQ(most_resumed, 8);
}

TEST_F(BenchmarkTest, AFinishedOneIsNotRunAgain) {
  run("out");
  EXPECT_EQ(run("out").num_resumed, 11);
  EXPECT_EQ(run("").num_resumed, 0) << "without a folder nothing is kept";
}

TEST_F(BenchmarkTest, OtherSettingsInTheSameFolderAreRefused) {
  run("out", 8);
  const auto refused = [&](const std::string& part, const std::string& precision = "f32", int64_t limit = 8) {
    EXPECT_THAT(message_of_error(ErrorKind::User, [&] { run("out", limit, precision); }),
                AllOf(HasSubstr("holds an evaluation with other settings"), HasSubstr(part)));
  };
  overrides_.temperature = 0.5;
  refused("sampling.temperature was 1.0 and is now 0.5");
  overrides_.temperature = 1.0;
  seed_ = 7;
  refused("seed was 1 and is now 7");
  seed_ = 1;
  refused("model.precision was \"f32\" and is now \"bf16\"", "bf16");
  refused("data.problems was 8 and is now 9", "f32", 9);
  std::ofstream(model_) << "another model under the same name";
  refused("model.fingerprint");
  std::ofstream(model_) << "stands for the model's file";
  EXPECT_EQ(run("out", 8).num_resumed, 8) << "nothing was touched";
  fs::remove(path("out", "settings.json"));
  EXPECT_THAT(message_of_error(ErrorKind::User, [&] { run("out", 8); }),
              HasSubstr("not the settings that they were drawn with"));
}

TEST_F(BenchmarkTest, ChangedSamplesAreRefused) {
  run("out");
  const std::string samples = read(path("out", "samples.jsonl"));
  const auto refused_with = [&](std::string text, const std::string& what, const std::string& by,
                                const std::string& part) {
    text.replace(text.find(what), what.size(), by);
    std::ofstream(path("out", "samples.jsonl"), std::ios::binary) << text;
    EXPECT_THAT(message_of_error(ErrorKind::Data, [&] { run("out"); }),
                AllOf(HasSubstr("samples.jsonl:"), HasSubstr(part)));
  };
  refused_with(samples, "\"p1\"", "\"p9\"", "sample 0 of p1 is expected here, this is sample 0 of p9");
  refused_with(samples, "\"verdict\"", "\"vrdict\"", ":1: not a sample as an evaluation writes it");
  refused_with(samples, "{\"id\"", "[\"id\"", ":1: not a sample");
}

TEST_F(BenchmarkTest, APromptWithoutRoomIsAnOutcome) {
  config_.max_position = 100;  // "?" and the request take about 95 tokens with the template
  overrides_ = {.max_new_tokens = 16};
  const BenchmarkResult result = run("out");
  const std::vector<json> all = rows("out");
  int64_t too_long = 0, shortened = 0;
  for (const json& row : all) {
    too_long += row.at("finish") == "too_long";
    shortened += row.at("finish") == "length" && row.at("tokens") < 16;
    if (row.at("finish") == "too_long") {
      EXPECT_EQ(row.at("verdict"), "unparsed");
      EXPECT_EQ(row.at("tokens"), 0);
    }
  }
  EXPECT_GT(too_long + shortened, 0);
  EXPECT_EQ(result.metrics.num_too_long, too_long);
  config_.max_position = 4;
  const BenchmarkResult none = run("none");
  EXPECT_EQ(none.metrics.num_too_long, 11);
  EXPECT_EQ(none.metrics.pass_at_1.mean, 0);
}

TEST_F(BenchmarkTest, AStopTextEndsAndIsCutOff) {
  overrides_ = {.samples = 8, .max_new_tokens = 40, .temperature = 1.0};
  change_ = [](Task& task) {
    task.form = PromptForm::Raw;
    task.stop = {"e", "A"};
  };
  run("out");
  int64_t stopped = 0;
  for (const json& row : rows("out")) {
    const auto text = row.at("text").get<std::string>();
    EXPECT_EQ(text.find_first_of("eA"), std::string::npos);
    stopped += row.at("finish") == "stop";
  }
  EXPECT_GT(stopped, 0);
}

TEST_F(BenchmarkTest, ScoresChoices) {
  suite_ = load_own_suite(folder_.path() / "choices.jsonl");
  overrides_ = {};
  change_ = [](Task& task) {
    task = find_protocol("lm-eval").tasks.back();
    task.suite = "choices";
  };
  const BenchmarkResult result = run("out");
  const model::Decoder decoder(config_);
  infer::Engine engine(decoder, weights_, *vocabulary_.tokenizer, {});
  double acc = 0, norm = 0;
  for (const json& row : rows("out")) {
    const size_t p = static_cast<size_t>(row.at("id").get<std::string>()[1] - '0');
    const auto prompt = encode_raw(*vocabulary_.tokenizer, "Question: which " + std::to_string(p) + "\nAnswer:");
    std::vector<double> sums;
    for (const std::string& choice : suite_.problems[p].choices) {
      const auto logprobs = engine.score({{prompt, {encode_raw(*vocabulary_.tokenizer, " " + choice)}}});
      double sum = 0;
      for (const float logprob : logprobs[0][0]) sum += static_cast<double>(logprob);
      sums.push_back(sum);
    }
    for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(row.at("logprobs")[c].get<double>(), sums[c], 1e-4);
    const size_t best = static_cast<size_t>(std::max_element(sums.begin(), sums.end()) - sums.begin());
    EXPECT_EQ(row.at("acc") == "right", suite_.problems[p].answer == std::string(1, static_cast<char>('A' + best)));
    acc += row.at("acc") == "right" ? 0.2 : 0;
    norm += row.at("acc_norm") == "right" ? 0.2 : 0;
    EXPECT_EQ(row.at("finish"), "scored");
  }
  EXPECT_NEAR(result.metrics.measures[0].second.mean, acc, 1e-12);
  EXPECT_NEAR(result.metrics.pass_at_1.mean, norm, 1e-12);
  run("again");
  expect_same_bytes("out", "again");
}

TEST(BestChoices, NormalisesByCharactersAndBytes) {
  const ScoredChoice best = best_choices({-4, -6, -7.5}, {"ab", "abcd", "ééé"});
  EXPECT_EQ(best.best[0], 0u);
  EXPECT_EQ(best.best[1], 1u);  // -2, -1.5, -2.5 a character
  EXPECT_EQ(best.best[2], 2u);  // -2, -1.5, -1.25 a byte
  EXPECT_EQ(best_choices({-1, -1}, {"a", "b"}).best[0], 0u) << "the first of equals";
}

TEST_F(BenchmarkTest, ComparesTwoEvaluations) {
  run("a");
  write_overview(folder_.path() / "a", {suite_.name});
  test::bias_end_of_turn(weights_, 1.0);
  std::ofstream(model_) << "a trained model";
  run("b");
  EXPECT_THAT(
      message_of_error(ErrorKind::User, [&] { compare_evaluations(folder_.path() / "a", folder_.path() / "b", 1); }),
      AllOf(HasSubstr("no finished evaluation"), HasSubstr("summary.json")));
  write_overview(folder_.path() / "b", {suite_.name});
  // A random model is never right: rewrite some verdicts as a trained one would have them.
  const auto set_success = [&](const std::string& folder, const std::vector<std::string>& ids) {
    std::string text;
    for (json row : rows(folder)) {
      for (const std::string& id : ids)
        if (row.at("id") == id && row.at("sample") == 0) row["success"] = true;
      text += row.dump() + "\n";
    }
    std::ofstream(path(folder, "samples.jsonl"), std::ios::binary) << text;
  };
  set_success("a", {"p0", "p1"});
  set_success("b", {"p1", "p2", "p3"});
  const auto results = compare_evaluations(folder_.path() / "a", folder_.path() / "b", 1);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].suite, "own");
  EXPECT_EQ(results[0].num_problems, 11);
  EXPECT_NEAR(results[0].a, 2.0 / 33, 1e-12);
  EXPECT_NEAR(results[0].b, 3.0 / 33, 1e-12);
  EXPECT_NEAR(results[0].paired.difference, 1.0 / 33, 1e-12);
  EXPECT_THAT(results[0].won, ElementsAre("p2", "p3"));
  EXPECT_THAT(results[0].lost, ElementsAre("p0"));
  EXPECT_TRUE(results[0].notes.empty());
}

TEST_F(BenchmarkTest, RefusesToCompareWhatDiffers) {
  const auto finish = [&](const std::string& folder, int64_t limit = 0) {
    run(folder, limit);
    write_overview(folder_.path() / folder, {suite_.name});
  };
  const auto refused = [&](const std::string& other) {
    return message_of_error(ErrorKind::User,
                            [&] { compare_evaluations(folder_.path() / "a", folder_.path() / other, 1); });
  };
  finish("a");
  finish("few", 4);
  EXPECT_THAT(refused("few"), HasSubstr("one has 11 problems, the other 4"));
  overrides_.samples = 2;
  finish("two");
  const auto noted = compare_evaluations(folder_.path() / "a", folder_.path() / "two", 1);
  EXPECT_THAT(noted[0].notes, ElementsAre("sampling.samples was 3 and is now 2"));
  protocol_ = "thinktuning";
  change_ = nullptr;
  std::ofstream(folder_.path() / "own.jsonl", std::ios::app) << "\n";
  suite_ = load_own_suite(folder_.path() / "own.jsonl");
  finish("data");
  EXPECT_THAT(refused("data"), HasSubstr("their data files differ"));
  suite_.name = "other";
  finish("suite");
  EXPECT_THAT(refused("suite"), AllOf(HasSubstr("different suites"), HasSubstr("has own"), HasSubstr("has other")));
  EXPECT_THAT(refused("nowhere"), HasSubstr("no finished evaluation"));
}

TEST(FirstDifference, NamesTheDottedKey) {
  using nlohmann::ordered_json;
  const ordered_json a = {{"x", {{"y", 1}, {"z", {1, 2}}}}, {"w", "t"}};
  ordered_json b = a;
  EXPECT_EQ(first_difference(a, b), "");
  b["x"]["z"] = {1, 3};
  EXPECT_EQ(first_difference(a, b), "x.z was [1,2] and is now [1,3]");
  b = a;
  b["new"] = true;
  EXPECT_EQ(first_difference(a, b), "new was not there and is now true");
  b = a;
  b.erase("w");
  EXPECT_EQ(first_difference(a, b), "w was \"t\" and is now null");
}

TEST(EncodeRaw, PutsNothingBehindTheText) {
  const model::Vocabulary vocabulary = test::byte_vocabulary(test::tiny_config());
  EXPECT_EQ(encode_raw(*vocabulary.tokenizer, "ab"), vocabulary.tokenizer->encode("ab"));
  EXPECT_EQ(encode_raw(*vocabulary.tokenizer, "<|im_end|>").size(), 10u) << "a text is no special token";
}

}  // namespace
}  // namespace thinktune::eval
