// The engine that keeps keys and values in pages, as a GPU has it, on the CPU beside the CPU's own: the same tokens.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "src/infer/page_pool.h"
#include "support/tiny_model.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/kv_cache.h"
#include "thinktune/infer/model_runner.h"

namespace thinktune::infer {
namespace {

class PagedRunnerTest : public testing::Test {
 protected:
  Engine on_cpu(const EngineOptions& options = {}) const {
    return Engine(decoder_, weights_, *vocabulary_.tokenizer, options);
  }
  Engine in_pages(const EngineOptions& options = {}) const {
    return Engine(decoder_, weights_, *vocabulary_.tokenizer, options, make_paged_runner(decoder_, weights_, options));
  }

  // Prompts with a common beginning of 20 tokens, so that pages end inside it, inside prompts and between them.
  static std::vector<Request> requests(int64_t samples) {
    std::vector<Request> all;
    for (uint64_t p = 0; p < 6; ++p) {
      Request request{
          .num_samples = samples, .max_new_tokens = 12 + 7 * static_cast<int64_t>(p), .prompt_number = 100 + p};
      for (int i = 0; i < 20; ++i) request.prompt_ids.push_back(10 + i);
      for (uint64_t i = 0; i <= 5 * p; ++i) request.prompt_ids.push_back(static_cast<TokenId>(40 + 3 * p + i));
      all.push_back(request);
    }
    return all;
  }

  void expect_same(Engine& paged, Engine& cpu, const SamplingOptions& sampling) const {
    // Logits differ in their last bits, so a token at the border of top_p may be in one set and not in the other.
    const double tolerance = sampling.top_p < 1 ? 0.02 : 1e-4;
    const auto got = paged.generate(requests(4), sampling, {.seed = 5, .step = 2});
    const auto expected = cpu.generate(requests(4), sampling, {.seed = 5, .step = 2});
    for (size_t r = 0; r < expected.size(); ++r)
      for (size_t s = 0; s < expected[r].size(); ++s) {
        SCOPED_TRACE(testing::Message() << "request " << r << " sample " << s);
        EXPECT_EQ(got[r][s].ids, expected[r][s].ids);
        EXPECT_EQ(got[r][s].stop, expected[r][s].stop);
        ASSERT_EQ(got[r][s].logprobs.size(), expected[r][s].logprobs.size());
        for (size_t i = 0; i < expected[r][s].logprobs.size(); ++i)
          EXPECT_NEAR(got[r][s].logprobs[i], expected[r][s].logprobs[i], tolerance);
      }
  }

  model::Decoder decoder_{test::tiny_config()};
  model::Weights weights_ = test::random_weights(test::tiny_config(), 7, at::kFloat);
  model::Vocabulary vocabulary_ = test::byte_vocabulary(test::tiny_config());
};

TEST_F(PagedRunnerTest, DrawsTheSameTokensUnderEveryTransform) {
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 1},
        SamplingOptions{.temperature = 0.7, .top_k = 20}, SamplingOptions{.temperature = 1.3, .top_p = 0.8},
        SamplingOptions{.temperature = 0.9, .top_k = 50, .top_p = 0.9}}) {
    SCOPED_TRACE(testing::Message() << "temperature " << sampling.temperature << ", top_k " << sampling.top_k
                                    << ", top_p " << sampling.top_p);
    Engine paged = in_pages(), cpu = on_cpu();
    expect_same(paged, cpu, sampling);
  }
}

TEST_F(PagedRunnerTest, DrawsTheSameTokensInEveryFamily) {
  for (const model::ModelConfig& config : test::tiny_configs_of_families()) {
    SCOPED_TRACE(config.family);
    decoder_ = model::Decoder(config);
    weights_ = test::random_weights(config, 9, at::kFloat);
    Engine paged = in_pages(), cpu = on_cpu();
    expect_same(paged, cpu, {.temperature = 0.9});
  }
}

// Few slots, small prefills, hardly any memory: sequences wait, and pages of those that ended are used again.
TEST_F(PagedRunnerTest, SlotsAndMemoryDoNotShow) {
  for (const EngineOptions& options :
       {EngineOptions{1, 2048, 1}, EngineOptions{3, 1, 1}, EngineOptions{70, 30, 4096}}) {
    SCOPED_TRACE(options.max_sequences);
    Engine paged = in_pages(options), cpu = on_cpu();
    expect_same(paged, cpu, {.temperature = 0.8});
    EXPECT_LE(paged.stats().kv_peak_bytes, options.kv_cache_mib << 20);
    EXPECT_EQ(paged.stats().prompt_tokens, cpu.stats().prompt_tokens);
  }
}

TEST_F(PagedRunnerTest, AHeldBeginningIsComputedOnce) {
  Engine paged = in_pages(), cpu = on_cpu();
  const std::vector<TokenId> held = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27};
  paged.hold_prefix(held);
  expect_same(paged, cpu, {.temperature = 0.8});
  expect_same(paged, cpu, {.temperature = 0});
  paged.release();
  expect_same(paged, cpu, {.temperature = 0.8});
}

// A teacher's engine beside the student's, on other weights and with a beginning that it holds, in one memory that both
// fill in turns: the tokens of engines that are alone.
TEST_F(PagedRunnerTest, EnginesBesideEachOtherShareOneMemory) {
  const model::Weights others = test::random_weights(test::tiny_config(), 8, at::kFloat);
  std::vector<TokenId> held(18);
  std::iota(held.begin(), held.end(), 10);
  const EngineOptions options{.max_sequences = 5, .kv_cache_mib = 1};
  for (const bool paged : {true, false}) {
    SCOPED_TRACE(paged ? "in pages" : "in blocks");
    Engine student = paged ? in_pages(options) : on_cpu(options), teacher(student, others);
    Engine student_alone = on_cpu(options), teacher_alone(decoder_, others, *vocabulary_.tokenizer, options);
    teacher.hold_prefix(held);
    const int64_t kept = teacher.kept_bytes();
    EXPECT_GT(kept, 0);
    for (int turn = 0; turn < 2; ++turn) {
      expect_same(student, student_alone, {.temperature = 0.8});
      expect_same(teacher, teacher_alone, {.temperature = 0});
      EXPECT_EQ(student.kept_bytes(), kept);
      student.weights_changed();
    }
    EXPECT_LE(student.stats().kv_peak_bytes, 1 << 20) << "what the teacher holds included";
    EXPECT_LT(teacher.stats().prompt_tokens, teacher_alone.stats().prompt_tokens + std::ssize(held))
        << "the held beginning was computed once";
    // The room is what the other leaves: a page for each of the three parts (the prompt may come in two) is counted
    // beyond those that tokens fill.
    const int64_t tokens = (1 << 20) / kv_bytes(decoder_.config(), at::kFloat, 1);
    const Request longest{.prompt_ids = {1, 2}, .max_new_tokens = tokens - (paged ? 5 * PagePool::kPageTokens : 18)};
    EXPECT_THROW(student.generate({longest}, {}, {}), core::Error);
    teacher.release();
    EXPECT_EQ(student.kept_bytes(), 0);
    EXPECT_EQ(student.generate({longest}, {.temperature = 0.8}, {}).size(), 1U);
  }
}

TEST_F(PagedRunnerTest, ScoresTheSame) {
  Engine paged = in_pages(), cpu = on_cpu();
  const std::vector<ScoreRequest> requests = {
      {{1, 2, 3}, {{4, 5, 6, 7}, {5}, {4, 6}}}, {std::vector<TokenId>(33, 5), {{8}}}, {{9}, {{}}}};
  const auto got = paged.score(requests), expected = cpu.score(requests);
  for (size_t r = 0; r < expected.size(); ++r)
    for (size_t c = 0; c < expected[r].size(); ++c) {
      ASSERT_EQ(got[r][c].size(), requests[r].continuations[c].size());
      for (size_t t = 0; t < expected[r][c].size(); ++t) EXPECT_NEAR(got[r][c][t], expected[r][c][t], 1e-4);
    }
}

TEST_F(PagedRunnerTest, ScoredPromptsWaitForPages) {
  std::vector<ScoreRequest> requests;
  for (TokenId i = 0; i < 16; ++i)
    requests.push_back({std::vector<TokenId>(300, 40 + i), {{50, 51, 52}, std::vector<TokenId>(20, 53), {54}}});
  Engine paged = in_pages({.prefill_tokens = 1 << 20, .kv_cache_mib = 1}), cpu = on_cpu();
  const auto got = paged.score(requests), expected = cpu.score(requests);
  EXPECT_GT(paged.stats().kv_peak_bytes, 1 << 19);
  EXPECT_LE(paged.stats().kv_peak_bytes, 1 << 20);
  for (size_t r = 0; r < expected.size(); ++r)
    for (size_t c = 0; c < expected[r].size(); ++c)
      for (size_t t = 0; t < expected[r][c].size(); ++t) EXPECT_NEAR(got[r][c][t], expected[r][c][t], 1e-4);
}

TEST_F(PagedRunnerTest, LogitsThatAreNotFiniteAreNamed) {
  weights_.embedding[40].fill_(std::numeric_limits<float>::quiet_NaN());
  Engine paged = in_pages();
  try {
    paged.generate(requests(1), {}, {});
    FAIL() << "NaN was sampled from";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::Device);
    EXPECT_NE(error.message().find("not finite"), std::string::npos);
  }
}

// Sequences end at an end of turn and at a stop text while the next step, which the host did not wait for, computes
// them once more; others enter in their places. Each token is reported once, in order.
TEST_F(PagedRunnerTest, StepsThatAreAheadLeaveNoTrace) {
  for (const int64_t slots : {2, 5}) {
    Engine paged = in_pages({.max_sequences = slots}), cpu = on_cpu({.max_sequences = slots});
    std::vector<Request> all = requests(4);
    for (size_t r = 0; r < all.size(); r += 2) all[r].stop_texts = {"e", "1"};
    std::map<std::pair<size_t, uint32_t>, std::vector<TokenId>> seen;
    std::vector<std::pair<size_t, uint32_t>> ended;
    const auto expected = cpu.generate(all, {.temperature = 1.2}, {.seed = 8});
    for (size_t r = 0; r < all.size(); ++r) {
      all[r].on_token = [&seen, r](uint32_t sample, TokenId id) { seen[{r, sample}].push_back(id); };
      all[r].on_end = [&ended, r](uint32_t sample, const Generation&) { ended.emplace_back(r, sample); };
    }
    const auto got = paged.generate(all, {.temperature = 1.2}, {.seed = 8});
    int64_t by_text = 0, tokens = 0;
    for (size_t r = 0; r < expected.size(); ++r)
      for (uint32_t s = 0; s < expected[r].size(); ++s) {
        EXPECT_EQ(got[r][s].ids, expected[r][s].ids) << r << " " << s;
        EXPECT_EQ(got[r][s].stop, expected[r][s].stop);
        EXPECT_EQ((seen[{r, s}]), got[r][s].ids);
        by_text += got[r][s].stop == Stop::StopText;
        tokens += std::ssize(got[r][s].ids);
      }
    EXPECT_GT(by_text, 0);
    EXPECT_EQ(paged.stats().generated_tokens, tokens);
    EXPECT_EQ(ended.size(), 24U);
    std::sort(ended.begin(), ended.end());
    EXPECT_EQ(std::unique(ended.begin(), ended.end()), ended.end());
  }
}

// What ends a call in the middle leaves a step that nobody takes; the engine can be used again.
TEST_F(PagedRunnerTest, ACallThatIsEndedLeavesAnEngineThatWorks) {
  Engine paged = in_pages({.max_sequences = 3}), cpu = on_cpu({.max_sequences = 3});
  int rounds = 0;
  paged.before_each_round([&] {
    if (++rounds == 7) throw core::user_error("stop", "");
  });
  EXPECT_THROW(paged.generate(requests(4), {.temperature = 0.8}, {.seed = 5, .step = 2}), core::Error);
  expect_same(paged, cpu, {.temperature = 0.8});
}

TEST_F(PagedRunnerTest, WhatIsReservedIsEnough) {
  for (const int64_t slots : {1, 3, 8}) {
    Engine paged = in_pages({.max_sequences = slots});
    std::vector<Request> all = requests(3);
    for (Request& request : all) request.prompt_ids.front() = static_cast<TokenId>(request.prompt_number);  // no prefix
    paged.generate(all, {}, {});
    const int64_t tokens = kv_tokens({.max_sequences = slots}, 46, 47);
    EXPECT_LE(paged.stats().kv_peak_bytes, kv_bytes(decoder_.config(), at::kFloat, tokens)) << slots;
  }
}

TEST_F(PagedRunnerTest, RefusesWhatDoesNotFitIntoThePool) {
  EngineOptions options{.kv_cache_mib = 1};
  Engine paged = in_pages(options);
  EXPECT_THROW(paged.generate({{.prompt_ids = {1, 2}, .max_new_tokens = 4094}}, {}, {}), core::Error);
}

TEST(PagePool, PagesAreFreeWhenNobodyHoldsThem) {
  const model::ModelConfig config = test::tiny_config();
  PagePool pool(config, at::kFloat, at::kCPU, 1 << 20);
  const std::vector<int32_t> first = pool.take(3);
  EXPECT_EQ(pool.num_used(), 3);
  for (const int32_t page : first) EXPECT_GT(page, 0);
  pool.hold(first[1]);
  for (const int32_t page : first) pool.let_go(page);
  EXPECT_EQ(pool.num_used(), 1);
  const std::vector<int32_t> more = pool.take(40);
  for (const int32_t page : more) EXPECT_NE(page, first[1]);
  pool.let_go(first[1]);
  EXPECT_EQ(pool.num_used(), 40);
  EXPECT_THROW(pool.take(1 << 20), core::Error);
}

TEST(PagePool, TakesAtOnceWhatIsReserved) {
  const model::ModelConfig config = test::tiny_config();
  PagePool pool(config, at::kFloat, at::kCPU, 8 << 20, 300 * PagePool::kPageTokens);
  EXPECT_EQ(pool.num_pages(), 0);
  pool.take(1);
  EXPECT_EQ(pool.num_pages(), 301);
  const int64_t generation = pool.generation();
  pool.take(299);
  EXPECT_EQ(pool.generation(), generation);
#ifndef __SANITIZE_ADDRESS__  // whose allocator ends the program at once
  // More than any machine has: what is needed is taken.
  PagePool vast(config, at::kFloat, at::kCPU, int64_t{1} << 52, int64_t{1} << 40);
  EXPECT_EQ(vast.take(5).size(), 5U);
  EXPECT_EQ(vast.num_pages(), 6);
#endif
  PagePool small(config, at::kFloat, at::kCPU, 1 << 20, int64_t{1} << 40);
  small.take(1);
  EXPECT_EQ(small.num_pages(), 1 + (1 << 20) / small.page_bytes());
}

TEST(PagePool, GrowsWithoutLosingWhatItHolds) {
  const model::ModelConfig config = test::tiny_config();
  PagePool pool(config, at::kFloat, at::kCPU, 8 << 20);
  const int32_t page = pool.take(1)[0];
  pool.keys(1).narrow(0, page * PagePool::kPageTokens, PagePool::kPageTokens).fill_(3);
  const int64_t generation = pool.generation();
  const int32_t other = pool.take(500).back();
  EXPECT_NE(pool.generation(), generation);
  pool.copy_rows(page, other, 5);
  const at::Tensor copy = pool.keys(1).narrow(0, other * PagePool::kPageTokens, PagePool::kPageTokens);
  EXPECT_TRUE(copy.narrow(0, 0, 5).eq(3).all().item<bool>());
  EXPECT_TRUE(copy.narrow(0, 5, PagePool::kPageTokens - 5).eq(0).all().item<bool>());
  EXPECT_TRUE(pool.values(1).eq(0).all().item<bool>());
}

}  // namespace
}  // namespace thinktune::infer
