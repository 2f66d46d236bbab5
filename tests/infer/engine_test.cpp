#include "thinktune/infer/engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/tiny_model.h"
#include "thinktune/core/error.h"
#include "thinktune/infer/kv_sizes.h"
#include "thinktune/model/packed_attention.h"

namespace thinktune::infer {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

class EngineTest : public testing::Test {
 protected:
  EngineTest() : decoder_(test::tiny_config()), weights_(test::random_weights(test::tiny_config(), 7, at::kFloat)) {}

  // A model in bf16 of which samples read a copy of their prompt, laid out for products.
  void use_tiles(int64_t head_dim = 32) {
    model::ModelConfig config = test::tiny_config();
    config.head_dim = config.rotary_dim = head_dim;
    decoder_ = model::Decoder(config);
    weights_ = test::random_weights(config, 7, at::kBFloat16);
  }

  using Results = std::vector<std::vector<Generation>>;
  static void expect_same_ids(const Results& results, const Results& reference) {
    ASSERT_EQ(results.size(), reference.size());
    for (size_t r = 0; r < results.size(); ++r) {
      ASSERT_EQ(results[r].size(), reference[r].size());
      for (size_t s = 0; s < results[r].size(); ++s) EXPECT_EQ(results[r][s].ids, reference[r][s].ids);
    }
  }

  Engine make(EngineOptions options = {}) const { return Engine(decoder_, weights_, *vocabulary_.tokenizer, options); }

  std::vector<Request> requests(int64_t samples) const {
    std::vector<TokenId> common;
    for (int i = 0; i < 20; ++i) common.push_back(10 + i);
    std::vector<Request> all;
    for (uint64_t p = 0; p < 5; ++p) {
      Request request{.prompt_ids = common,
                      .num_samples = samples,
                      .max_new_tokens = 12 + static_cast<int64_t>(p),
                      .prompt_number = 100 + p};
      for (uint64_t i = 0; i <= p; ++i) request.prompt_ids.push_back(static_cast<TokenId>(40 + 3 * p + i));
      all.push_back(request);
    }
    return all;
  }

  // What the trainer's forward pass says of a generation, under a transform.
  std::vector<float> trainer_logprobs(const Request& request, const Generation& generation,
                                      const ops::LogprobTransform& transform) const {
    c10::NoGradGuard no_grad;
    const std::vector<model::PackedGroup> groups = {{std::ssize(request.prompt_ids), {std::ssize(generation.ids) - 1}}};
    std::vector<int64_t> ids(request.prompt_ids.begin(), request.prompt_ids.end());
    ids.insert(ids.end(), generation.ids.begin(), generation.ids.end() - 1);
    model::PackedAttention attention(decoder_.config(), groups);
    const at::Tensor hidden = decoder_.forward(weights_, index_tensor(ids), model::packed_positions(groups), attention);
    const at::Tensor logprobs =
        decoder_
            .token_logprob(weights_, hidden.narrow(0, std::ssize(request.prompt_ids) - 1, std::ssize(generation.ids)),
                           index_tensor({generation.ids.begin(), generation.ids.end()}), {.transform = transform})
            .logprob_T;
    return {logprobs.const_data_ptr<float>(), logprobs.const_data_ptr<float>() + logprobs.size(0)};
  }

  model::Decoder decoder_;
  model::Weights weights_;
  model::Vocabulary vocabulary_ = test::byte_vocabulary(test::tiny_config());
};

TEST_F(EngineTest, SamplerAndTrainerAgreeUnderEveryTransform) {
  Engine engine = make();
  const SamplingOptions settings[] = {{.temperature = 1},
                                      {.temperature = 0.7},
                                      {.temperature = 0.7, .top_k = 20},
                                      {.temperature = 1.3, .top_p = 0.8},
                                      {.temperature = 0.9, .top_k = 50, .top_p = 0.9}};
  for (const SamplingOptions& sampling : settings) {
    const auto all = requests(4);
    const auto results = engine.generate(all, sampling, {.seed = 5});
    for (size_t r = 0; r < all.size(); ++r)
      for (const Generation& generation : results[r]) {
        ASSERT_EQ(generation.ids.size(), generation.logprobs.size());
        const auto expected =
            trainer_logprobs(all[r], generation, {sampling.temperature, sampling.top_k, sampling.top_p});
        for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(generation.logprobs[i], expected[i], 1e-4);
      }
  }
}

// Windows that end inside the shared beginning, the prompt and the response, soft caps, partial and local rope, every
// kind of norm: the cache's two ways to attend and the trainer's one are three programs of one formula.
TEST_F(EngineTest, SamplerAndTrainerAgreeInEveryFamily) {
  for (const model::ModelConfig& config : test::tiny_configs_of_families()) {
    decoder_ = model::Decoder(config);
    weights_ = test::random_weights(config, 9, at::kFloat);
    Engine engine = make({.max_sequences = 7});
    const std::vector<Request> all = requests(2);
    const auto results = engine.generate(all, {.temperature = 0.9}, {.seed = 4});
    for (size_t r = 0; r < all.size(); ++r)
      for (const Generation& generation : results[r]) {
        const auto expected = trainer_logprobs(all[r], generation, {.temperature = 0.9});
        for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(generation.logprobs[i], expected[i], 1e-4);
      }
  }
}

TEST_F(EngineTest, SamplesDoNotDependOnSlotsBatchingOrCompany) {
  const auto all = requests(3);
  const auto reference = make({.max_sequences = 64}).generate(all, {.temperature = 0.8}, {.seed = 1, .step = 4});
  for (const EngineOptions& options : {EngineOptions{1, 2048, 1}, EngineOptions{4, 1, 1}, EngineOptions{7, 30, 1}}) {
    const auto results = make(options).generate(all, {.temperature = 0.8}, {.seed = 1, .step = 4});
    for (size_t r = 0; r < all.size(); ++r)
      for (size_t s = 0; s < results[r].size(); ++s)
        EXPECT_EQ(results[r][s].ids, reference[r][s].ids) << "slots " << options.max_sequences;
  }
  const auto alone = make().generate({all[3]}, {.temperature = 0.8}, {.seed = 1, .step = 4});
  for (size_t s = 0; s < alone[0].size(); ++s) EXPECT_EQ(alone[0][s].ids, reference[3][s].ids);
}

// The path of a real model: bf16, heads of 64, decoding by tiles, with more and fewer rows than a tile has. Tokens and
// their log-probabilities, bit by bit.
TEST_F(EngineTest, SamplesInBf16DoNotDependOnSlotsThreadsOrOrder) {
  model::ModelConfig config = test::tiny_config();
  config.hidden_size = 192;
  config.intermediate_size = 256;
  config.num_heads = 6;
  config.head_dim = config.rotary_dim = 64;
  config.attention_scale = 1 / std::sqrt(64.0);
  ASSERT_GT(KvSizes(config, at::kBFloat16, /*in_pages=*/false).tiles(32), 0) << "no tiles";
  decoder_ = model::Decoder(config);
  weights_ = test::random_weights(config, 7, at::kBFloat16);
  std::vector<Request> all = requests(9);
  for (Request& request : all) request.max_new_tokens += 30;
  const std::vector<Request> reversed(all.rbegin(), all.rend());
  const auto reference = make({.max_sequences = 64}).generate(all, {.temperature = 0.8}, {.seed = 1, .step = 4});
  const int threads_before = at::get_num_threads();
  int64_t num_tokens = 0;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    for (const EngineOptions& options :
         {EngineOptions{1, 2048}, EngineOptions{7, 1}, EngineOptions{20, 30}, EngineOptions{64}})
      for (const std::vector<Request>* ordered : {&std::as_const(all), &reversed}) {
        SCOPED_TRACE(fmt::format("{} threads, {} slots, {} order", threads, options.max_sequences,
                                 ordered == &all ? "this" : "the other"));
        const auto results = make(options).generate(*ordered, {.temperature = 0.8}, {.seed = 1, .step = 4});
        for (size_t r = 0; r < all.size(); ++r) {
          const auto& expected = reference[ordered == &all ? r : all.size() - 1 - r];
          ASSERT_EQ(results[r].size(), expected.size());
          for (size_t s = 0; s < expected.size(); ++s) {
            EXPECT_EQ(results[r][s].ids, expected[s].ids);
            EXPECT_EQ(results[r][s].logprobs, expected[s].logprobs);
            num_tokens += std::ssize(expected[s].ids);
          }
        }
      }
  }
  at::set_num_threads(threads_before);
  EXPECT_GT(num_tokens, 3 * 8 * 45 * 15) << "they end too soon to tell";
}

TEST_F(EngineTest, KeysDecideTheSamples) {
  const auto all = requests(2);
  const auto first = make().generate(all, {}, {.seed = 1});
  EXPECT_EQ(first[0][0].ids, make().generate(all, {}, {.seed = 1})[0][0].ids);
  EXPECT_NE(first[0][0].ids, make().generate(all, {}, {.seed = 2})[0][0].ids);
  EXPECT_NE(first[0][0].ids, make().generate(all, {}, {.seed = 1, .step = 1})[0][0].ids);
  EXPECT_NE(first[0][0].ids, first[0][1].ids);
}

TEST_F(EngineTest, FirstTokenFollowsTheDistribution) {
  Request request{.prompt_ids = {20, 21, 22}, .num_samples = 20000, .max_new_tokens = 1, .prompt_number = 9};
  Engine engine = make({.max_sequences = 512});
  const auto results = engine.generate({request}, {.temperature = 0.7, .top_k = 8}, {.seed = 3});
  std::map<TokenId, double> counts;
  std::map<TokenId, double> probability;
  for (const Generation& g : results[0]) {
    counts[g.ids[0]] += 1;
    probability[g.ids[0]] = std::exp(static_cast<double>(g.logprobs[0]));
  }
  EXPECT_LE(counts.size(), 8u);
  double total = 0;
  for (const auto& [id, p] : probability) {
    total += p;
    const double sigma = std::sqrt(p * (1 - p) / 20000);
    EXPECT_NEAR(counts[id] / 20000, p, 5 * sigma) << "token " << id;
  }
  EXPECT_NEAR(total, 1, 1e-4);
}

TEST_F(EngineTest, HeldPrefixChangesNothing) {
  const auto all = requests(1);
  const auto plain = make().generate(all, {.temperature = 0}, {});
  Engine engine = make();
  engine.hold_prefix({all[0].prompt_ids.begin(), all[0].prompt_ids.begin() + 15});
  const int64_t held = engine.stats().prompt_tokens;
  EXPECT_EQ(held, 15);
  const auto with = engine.generate(all, {.temperature = 0}, {});
  for (size_t r = 0; r < all.size(); ++r) {
    EXPECT_EQ(with[r][0].ids, plain[r][0].ids);
    for (size_t i = 0; i < with[r][0].logprobs.size(); ++i)
      EXPECT_NEAR(with[r][0].logprobs[i], plain[r][0].logprobs[i], 1e-5);
  }
  int64_t tokens = 0;
  for (const Request& request : all) tokens += std::ssize(request.prompt_ids) - 15;
  EXPECT_EQ(engine.stats().prompt_tokens, held + tokens);  // the held tokens were not computed again
}

// The engine's copies of the weights, and what it held of them, are the old ones until it is told.
TEST_F(EngineTest, FollowsTheWeightsWhenTold) {
  const auto all = requests(2);
  Engine engine = make();
  engine.hold_prefix({all[0].prompt_ids.begin(), all[0].prompt_ids.begin() + 15});
  engine.generate(all, {}, {.seed = 5});
  {
    c10::NoGradGuard no_grad;
    for (at::Tensor& tensor : model::tensor_list(weights_)) tensor.mul_(1.3);
  }
  engine.weights_changed();
  const auto changed = engine.generate(all, {}, {.seed = 5});
  const auto fresh = make().generate(all, {}, {.seed = 5});
  for (size_t r = 0; r < all.size(); ++r)
    for (size_t s = 0; s < 2; ++s) {
      EXPECT_EQ(changed[r][s].ids, fresh[r][s].ids);
      EXPECT_EQ(changed[r][s].logprobs, fresh[r][s].logprobs);
    }
}

TEST_F(EngineTest, CommonBeginningIsComputedOnce) {
  const auto all = requests(4);
  Engine engine = make();
  engine.generate(all, {}, {});
  int64_t own = 20;
  for (const Request& request : all) own += std::ssize(request.prompt_ids) - 20;
  EXPECT_EQ(engine.stats().prompt_tokens, own);
}

TEST_F(EngineTest, StopTexts) {
  Request request{.prompt_ids = {30, 31}, .max_new_tokens = 200};
  const auto endless = make().generate({request}, {.temperature = 1}, {.seed = 11});
  const std::string text = vocabulary_.tokenizer->decode(endless[0][0].ids);
  ASSERT_GT(text.size(), 20u);
  request.stop_texts = {"\x01never", text.substr(10, 3)};
  const auto stopped = make().generate({request}, {.temperature = 1}, {.seed = 11});
  EXPECT_EQ(stopped[0][0].stop, Stop::StopText);
  std::vector<TokenId> until;  // the token that completes the text is the last one
  for (const TokenId id : endless[0][0].ids) {
    until.push_back(id);
    if (vocabulary_.tokenizer->decode(until).find(request.stop_texts[1]) != std::string::npos) break;
  }
  EXPECT_EQ(stopped[0][0].ids, until);
}

TEST_F(EngineTest, TokensAreToldAsTheyCome) {
  Engine engine = make({.max_sequences = 3});
  auto all = requests(2);
  std::vector<std::vector<std::vector<TokenId>>> told(all.size(), std::vector<std::vector<TokenId>>(2));
  for (size_t r = 0; r < all.size(); ++r)
    all[r].on_token = [&told, r](uint32_t sample, TokenId id) { told[r][sample].push_back(id); };
  const auto results = engine.generate(all, {.temperature = 1}, {.seed = 4});
  for (size_t r = 0; r < all.size(); ++r)
    for (size_t s = 0; s < 2; ++s) EXPECT_EQ(told[r][s], results[r][s].ids);
}

TEST_F(EngineTest, EveryEndOfTurnIdEnds) {
  model::ModelConfig config = test::tiny_config();
  Request request{.prompt_ids = {30, 31}, .num_samples = 200, .max_new_tokens = 100};
  config.end_of_turn_ids = {2, 77, 150};
  const model::Decoder decoder(config);
  Engine engine(decoder, weights_, *vocabulary_.tokenizer, {});
  std::map<TokenId, int> ends;
  const auto results = engine.generate({request}, {.temperature = 1.5}, {.seed = 1});
  for (const Generation& g : results[0]) {
    for (size_t i = 0; i + 1 < g.ids.size(); ++i) EXPECT_TRUE(g.ids[i] != 2 && g.ids[i] != 77 && g.ids[i] != 150);
    if (g.stop == Stop::EndOfTurn)
      ++ends[g.ids.back()];
    else
      EXPECT_EQ(g.ids.size(), 100u);
  }
  EXPECT_EQ(ends.size(), 3u);
}

// Half a dozen sequences want 375 KiB each; without a bound they would all be decoded at a time.
TEST_F(EngineTest, SequencesWaitForMemoryAndNoneFailsOrChanges) {
  auto all = requests(3);
  for (Request& request : all) {
    request.max_new_tokens = 1500 - static_cast<int64_t>(request.prompt_number);
    request.stop_texts = {"e", "a"};
  }
  Engine free = make();
  const auto reference = free.generate(all, {.temperature = 0.8}, {.seed = 1});
  EXPECT_GT(free.stats().kv_peak_bytes, 4 << 20);
  for (const int64_t prefill_tokens : {1, 30, 2048}) {
    Engine bounded = make({.prefill_tokens = prefill_tokens, .kv_cache_mib = 1});
    const auto results = bounded.generate(all, {.temperature = 0.8}, {.seed = 1});
    expect_same_ids(results, reference);
    EXPECT_LE(bounded.stats().kv_peak_bytes, 1 << 20);
    EXPECT_GT(bounded.stats().kv_peak_bytes, 1 << 19);
  }
}

TEST_F(EngineTest, ASequenceThatNeverFitsIsRefusedBeforeAnythingIsComputed) {
  const int64_t row = kv_bytes(decoder_.config(), at::kFloat, 1);
  std::vector<Request> all = requests(1);
  std::vector<TokenId> held;  // begins none of the prompts
  for (int i = 0; i < 96; ++i) held.push_back(200 + i % 50);
  const auto fitting = (1 << 20) / row - std::ssize(held) - std::ssize(all[1].prompt_ids);
  all[1].max_new_tokens = fitting;
  all[1].stop_texts = {"e", "a"};
  Engine engine = make({.kv_cache_mib = 1});
  engine.hold_prefix(held);
  EXPECT_NO_THROW(engine.generate({all[1]}, {.temperature = 1}, {.seed = 4}));
  engine.reset_stats();
  all[1].max_new_tokens = fitting + 1;
  try {
    engine.generate(all, {.temperature = 1}, {.seed = 4});
    ADD_FAILURE() << "generated without room";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::User);
    EXPECT_NE(std::string(error.what()).find("kv_cache_mib"), std::string::npos);
  }
  EXPECT_EQ(engine.stats().prompt_tokens, 0);
}

// In bf16 a prompt is there twice. What KvSizes says of one sample is what the engine takes and no token less.
TEST_F(EngineTest, OneSampleWithItsPromptTakesWhatItsSizesSay) {
  for (const int64_t head_dim : {32, 64}) {
    SCOPED_TRACE(head_dim);
    use_tiles(head_dim);
    const KvSizes sizes(decoder_.config(), at::kBFloat16, /*in_pages=*/false);
    EXPECT_GT(sizes.tiles(320), 0);
    constexpr int64_t kNew = 40;
    int64_t longest = 1;
    while (sizes.sample(longest + 1, kNew) <= 1 << 20) ++longest;
    ASSERT_LE(longest + 1 + kNew, 4096) << "the model's positions";
    Request request{.prompt_ids = std::vector<TokenId>(static_cast<size_t>(longest), 11), .max_new_tokens = kNew};
    Engine engine = make({.kv_cache_mib = 1, .ignore_eos = true});
    EXPECT_EQ(engine.generate({request}, {}, {})[0][0].ids.size(), static_cast<size_t>(kNew));
    EXPECT_EQ(engine.stats().kv_peak_bytes, sizes.sample(longest, kNew));
    request.prompt_ids.push_back(11);
    EXPECT_THROW(engine.generate({request}, {}, {}), core::Error);
  }
}

TEST_F(EngineTest, SequencesWaitForThePromptsCopiesToo) {
  use_tiles();
  std::vector<Request> all = requests(3);
  for (Request& request : all) {
    request.max_new_tokens = 300;
    request.prompt_ids.resize(300 + request.prompt_number, 50);
    request.prompt_ids.front() = static_cast<TokenId>(request.prompt_number);  // nothing in common
  }
  Engine free = make({.ignore_eos = true});
  const auto reference = free.generate(all, {.temperature = 0.8}, {.seed = 1});
  EXPECT_GT(free.stats().kv_peak_bytes, 3 << 20);
  for (const int64_t prefill_tokens : {1, 500, 2048}) {
    Engine bounded = make({.prefill_tokens = prefill_tokens, .kv_cache_mib = 1, .ignore_eos = true});
    const auto results = bounded.generate(all, {.temperature = 0.8}, {.seed = 1});
    expect_same_ids(results, reference);
    EXPECT_LE(bounded.stats().kv_peak_bytes, 1 << 20);
    EXPECT_GT(bounded.stats().kv_peak_bytes, 1 << 19);
  }
}

// One prompt begins with what is held, two others alike: where both beginnings do not fit beside the first prompt, the
// second one is not made.
TEST_F(EngineTest, WhatPromptsHaveInCommonGivesWayToMemory) {
  const int64_t rows = (1 << 20) / kv_bytes(decoder_.config(), at::kFloat, 1);
  const std::vector<TokenId> held(static_cast<size_t>(rows / 8), 20), alike(static_cast<size_t>(rows / 2), 30);
  std::vector<Request> all;
  for (const auto* beginning : {&held, &alike, &alike}) {
    Request& request = all.emplace_back();
    request.prompt_ids = *beginning;
    request.prompt_ids.push_back(static_cast<TokenId>(40 + all.size()));
    request.prompt_number = all.size();
    request.max_new_tokens = 3;
  }
  all[0].max_new_tokens = rows / 2;
  all[0].stop_texts = {"e", "a"};
  Engine free = make(), bounded = make({.kv_cache_mib = 1});
  for (Engine* engine : {&free, &bounded}) engine->hold_prefix(held);
  const auto reference = free.generate(all, {}, {.seed = 2}), results = bounded.generate(all, {}, {.seed = 2});
  for (size_t r = 0; r < all.size(); ++r) EXPECT_EQ(results[r][0].ids, reference[r][0].ids);
  EXPECT_LE(bounded.stats().kv_peak_bytes, 1 << 20);
}

TEST_F(EngineTest, CountsTheRowsOfItsPasses) {
  const std::vector<Request> all = requests(3);
  Engine engine = make({.max_sequences = 4, .prefill_tokens = 30});
  engine.generate(all, {}, {.seed = 1});
  const auto rows_of = [](const RowCounts& passes) {
    int64_t rows = 0;
    for (const auto& [rows_of_one, count] : passes) rows += rows_of_one * count;
    return rows;
  };
  const EngineStats& stats = engine.stats();
  EXPECT_EQ(rows_of(stats.prefill_passes), stats.prompt_tokens);
  // The first token of a sample is drawn from its prompt's logits.
  EXPECT_EQ(rows_of(stats.decode_passes), stats.generated_tokens - 15);
  EXPECT_EQ(stats.decode_passes.rbegin()->first, 4);
  EXPECT_GT(stats.decode_passes.size(), 1U) << "in the end slots are free";
  engine.reset_stats();
  EXPECT_TRUE(engine.stats().decode_passes.empty());
}

TEST_F(EngineTest, TooLongAndNotFiniteAreErrors) {
  EXPECT_THROW(make().generate({{.prompt_ids = {1, 2}, .max_new_tokens = 4095}}, {}, {}), core::Error);
  EXPECT_THROW(validate(SamplingOptions{.temperature = -1}), core::Error);
  EXPECT_THROW(validate(SamplingOptions{.top_p = 0}), core::Error);
  weights_.final_norm.fill_(std::nanf(""));
  EXPECT_THROW(make().generate({{.prompt_ids = {1, 2}, .max_new_tokens = 4}}, {}, {}), core::Error);
}

}  // namespace
}  // namespace thinktune::infer
