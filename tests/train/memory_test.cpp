#include "thinktune/train/memory.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"
#include "thinktune/infer/kv_sizes.h"

namespace thinktune::train {
namespace {

int64_t bytes_of(const std::vector<MemoryPart>& parts, const std::string& what) {
  for (const MemoryPart& part : parts)
    if (part.what == what) return part.bytes;
  return 0;
}

TEST(Memory, WeightsAndOptimiserAreExact) {
  const model::ModelConfig config = test::tiny_config();
  int64_t parameters = 0;
  for (const at::Tensor& t : model::tensor_list(model::empty_weights(config, at::kFloat))) parameters += t.numel();
  EXPECT_EQ(model::num_parameters(config), parameters);
  const auto parts = memory_of_training(config, {});
  EXPECT_EQ(bytes_of(parts, "f32 weights"), 4 * parameters);
  EXPECT_EQ(bytes_of(parts, "f32 gradients"), 4 * parameters);
  EXPECT_EQ(bytes_of(parts, "AdamW's two moments, f32"), 8 * parameters);
  EXPECT_EQ(bytes_of(parts, "bf16 weights"), 2 * parameters);
  EXPECT_EQ(bytes_of(parts, "frozen first weights (teacher, KL)"), 2 * parameters);
}

TEST(Memory, RanksHoldShares) {
  const model::ModelConfig config = test::tiny_config();
  const int64_t parameters = model::num_parameters(config), share = (parameters + 2) / 3;
  TrainOptions options;
  options.comm.shard = comm::Shard::Optimizer;
  auto parts = memory_of_training(config, options, 3);
  EXPECT_EQ(bytes_of(parts, "f32 weights"), 4 * share);
  EXPECT_EQ(bytes_of(parts, "f32 gradients"), 4 * parameters);
  EXPECT_EQ(bytes_of(parts, "AdamW's two moments, f32"), 8 * share);
  EXPECT_EQ(bytes_of(parts, "bf16 weights"), 2 * parameters);
  options.comm.shard = comm::Shard::Gradients;
  options.precision = Precision::F32;
  parts = memory_of_training(config, options, 3);
  EXPECT_EQ(bytes_of(parts, "f32 weights"), 4 * parameters) << "they compute";
  EXPECT_EQ(bytes_of(parts, "the optimiser's share of the weights"), 4 * share);
  EXPECT_EQ(bytes_of(parts, "f32 gradients"), 4 * share);
  parts = memory_of_training(config, options);
  EXPECT_EQ(bytes_of(parts, "f32 gradients"), 4 * parameters) << "one rank has nobody to share with";
}

TEST(Memory, RanksHoldPartsOfEverything) {
  model::ModelConfig config = test::tiny_config();
  config.num_layers = 6;  // more than are there at a time
  const int64_t parameters = model::num_parameters(config), share = (parameters + 2) / 3;
  TrainOptions options;
  options.comm.shard = comm::Shard::Parameters;
  const auto parts = memory_of_training(config, options, 3, Processor::Gpu);
  for (const char* what : {"f32 weights", "f32 gradients"}) EXPECT_EQ(bytes_of(parts, what), 4 * share) << what;
  for (const char* what : {"bf16 weights", "frozen first weights (teacher, KL)"})
    EXPECT_EQ(bytes_of(parts, what), 2 * share) << what;
  EXPECT_EQ(bytes_of(parts, "weights that came together for sampling"), 2 * parameters);
  options.comm.gather = comm::Gather::Layer;
  const int64_t by_layer =
      bytes_of(memory_of_training(config, options, 3, Processor::Gpu), "weights that came together for sampling");
  EXPECT_GT(by_layer, 0);
  EXPECT_LT(by_layer, 2 * parameters);
  options.comm.gather = comm::Gather::Keep;
  EXPECT_EQ(bytes_of(memory_of_training(config, options, 3, Processor::Gpu), "weights that came together"),
            2 * parameters);
}

TEST(Memory, WeightsComeTogetherWhereTheyFit) {
  model::ModelConfig config = test::tiny_config();
  config.num_layers = 6;  // more than are there at a time
  using comm::Gather;
  TrainOptions options;
  options.comm.shard = comm::Shard::Parameters;
  const auto peak = [&](Gather gather) {
    TrainOptions o = options;
    o.comm.gather = gather;
    return peak_bytes(memory_of_training(config, o, 2, Processor::Gpu));
  };
  const auto chosen = [&](int64_t bytes) { return gather_that_fits(config, options, 2, bytes, Processor::Gpu); };
  const int64_t keep = peak(Gather::Keep) * 10 / 9, whole = peak(Gather::Whole) * 10 / 9;
  ASSERT_GT(keep, whole + 200) << "what is kept is there in the update too, where the peak is";
  EXPECT_EQ(chosen(keep + 100), Gather::Keep);
  EXPECT_EQ(chosen(keep - 100), Gather::Whole);
  EXPECT_EQ(chosen(whole + 100), Gather::Whole);
  EXPECT_EQ(chosen(whole - 100), Gather::Layer);
  for (const Gather gather : {Gather::Keep, Gather::Whole, Gather::Layer}) {
    options.comm.gather = gather;
    EXPECT_EQ(chosen(0), gather);
    EXPECT_EQ(chosen(10 * keep), gather);
  }
}

TEST(Memory, AGpuHasNoCopiesAndKeepsItsPages) {
  const model::ModelConfig config = test::tiny_config();
  TrainOptions options;
  options.engine.kv_cache_mib = 1;
  const auto parts = memory_of_training(config, options, 1, Processor::Gpu);
  EXPECT_EQ(bytes_of(parts, "the sampler's copies laid out for products"), 0);
  EXPECT_EQ(bytes_of(parts, "the teacher's copies laid out for products"), 0);
  EXPECT_EQ(bytes_of(parts, "keys and values of the sampler"), 1 << 20);
  // What the engines take at once is what is said here.
  options.engine = {.max_sequences = 3, .kv_cache_mib = 4096};
  const auto more = memory_of_training(config, options, 1, Processor::Gpu);
  EXPECT_EQ(bytes_of(more, "keys and values of the sampler"),
            infer::kv_bytes(config, at::kBFloat16, kv_tokens(options)));
  // Student and teacher take turns in one memory, in which the beginning of the teacher's prompts stays.
  const int64_t teacher_prompt = options.guidance.max_teacher_prompt_tokens;
  EXPECT_GE(kv_tokens(options), 3 * (teacher_prompt + options.guidance.max_reply_tokens));
  EXPECT_LT(kv_tokens(options), 6 * (teacher_prompt + options.guidance.max_reply_tokens));
  options.rollout.max_new_tokens = 100'000;
  const int64_t long_answers = kv_tokens(options);
  options.guidance.enabled = false;
  EXPECT_GE(kv_tokens(options), 3 * (options.prompt.max_prompt_tokens + options.rollout.max_new_tokens));
  EXPECT_EQ(long_answers, kv_tokens(options) + teacher_prompt);
  EXPECT_GT(bytes_of(parts, "CUDA's own, about"), 0);
  EXPECT_GT(bytes_of(parts, "partial results of attention in a decode step"), 0);
  ASSERT_TRUE(options.checkpoint.background);
  options.checkpoint.every = 1;
  const char* copy = "a copy that is being saved, on rank 0";
  EXPECT_GT(bytes_of(memory_of_training(config, options), copy), 0);
  EXPECT_EQ(bytes_of(memory_of_training(config, options, 1, Processor::Gpu), copy), 0) << "it is the host's";
  EXPECT_EQ(bytes_of_saved_copy(config, options), bytes_of(memory_of_training(config, options), copy));
  options.checkpoint.every = 0;  // the last one alone, for which training waits
  EXPECT_EQ(bytes_of_saved_copy(config, options), 0);
  options.checkpoint.retention.keep_best = 1;
  EXPECT_GT(bytes_of_saved_copy(config, options), 0);
  EXPECT_EQ(gpus_that_hold(25'000'000'000), "fits 48 and 80 GB, not 24 GB");
  EXPECT_EQ(gpus_that_hold(24'000'000'000), "fits 24, 48 and 80 GB");
  EXPECT_EQ(gpus_that_hold(81'000'000'000), "fits none of 24, 48 and 80 GB");
}

// 24 heads of 128, 1536 tokens: as many pages as a recorded step has, 2048 tokens' in 16 parts of each head.
TEST(Memory, PartialResultsOfAttentionGrowWithTheBatch) {
  model::ModelConfig config = test::tiny_config();
  config.num_heads = 24;
  config.head_dim = 128;
  EXPECT_EQ(infer::decode_scratch_bytes(config, {.max_sequences = 64}, 1536), 64 * 24 * 16 * 130 * 4);
  EXPECT_EQ(infer::decode_scratch_bytes(config, {.max_sequences = 640}, 1536), 640 * 24 * 16 * 130 * 4);
  EXPECT_EQ(infer::decode_scratch_bytes(config, {.max_sequences = 33}, 16), 64 * 24 * 1 * 130 * 4);
}

// On the CPU samples read a copy of their prompt in bf16, where heads are as wide as products of them need.
TEST(Memory, PromptsThatAreThereTwiceAreCountedTwice) {
  model::ModelConfig config = test::tiny_config();
  config.head_dim = 32;
  TrainOptions options;
  options.guidance.enabled = false;
  options.eval.max_new_tokens = 1;
  const char* cache = "keys and values of the sampler, at most";
  const int64_t tokens =
      options.engine.max_sequences * (2 * options.prompt.max_prompt_tokens + options.rollout.max_new_tokens);
  EXPECT_GE(bytes_of(memory_of_training(config, options), cache), infer::kv_bytes(config, at::kBFloat16, tokens));
  options.precision = Precision::F32;
  EXPECT_LT(bytes_of(memory_of_training(config, options), cache), infer::kv_bytes(config, at::kFloat, tokens));
  // Evaluations sample too.
  const int64_t before = bytes_of(memory_of_training(config, options), cache);
  options.eval.max_new_tokens = options.rollout.max_new_tokens + 100;
  EXPECT_EQ(bytes_of(memory_of_training(config, options), cache) - before,
            infer::kv_bytes(config, at::kFloat, 100 * options.engine.max_sequences));
}

TEST(Memory, ThePeakIsTheLargerOfSamplingAndUpdate) {
  const std::vector<MemoryPart> parts = {
      {"a", 100}, {"b", 5, MemoryPhase::Sampling}, {"c", 7, MemoryPhase::Sampling}, {"d", 11, MemoryPhase::Update}};
  EXPECT_EQ(peak_bytes(parts), 112);
}

TEST(Memory, SettingsThatTakeMore) {
  const model::ModelConfig config = test::tiny_config();
  TrainOptions options;
  const auto total = [&] {
    int64_t bytes = 0;
    for (const MemoryPart& part : memory_of_training(config, options)) bytes += part.bytes;
    return bytes;
  };
  const int64_t usual = total();
  const int64_t copies = bytes_of(memory_of_training(config, options), "the teacher's copies laid out for products");
  EXPECT_GT(copies, 0);
  options.guidance.enabled = false;
  const int64_t without_teacher = total();
  // A teacher has its weights and a copy of its matrices for products, a KL term's reference only the weights.
  const int64_t cache = bytes_of(memory_of_training(config, {}), "keys and values of the sampler, at most") -
                        bytes_of(memory_of_training(config, options), "keys and values of the sampler, at most");
  EXPECT_GE(cache, 0);
  const int64_t weights = 2 * model::num_parameters(config);
  EXPECT_EQ(usual - without_teacher, weights + copies + cache);
  options.loss.kl_coefficient = 0.1;
  EXPECT_EQ(usual - total(), copies + cache);
  const auto more = [&](auto change) {
    options = {};
    change();
    return total() - usual;
  };
  EXPECT_GT(more([&] { options.precision = Precision::F32; }), 0);
  EXPECT_GT(more([&] { options.engine.max_sequences *= 2; }), 0);
  options = {};
  options.engine = {.max_sequences = 65536, .kv_cache_mib = 3};
  EXPECT_EQ(bytes_of(memory_of_training(config, options), "keys and values of the sampler, at most"), 3 << 20);
  EXPECT_GT(more([&] { options.update.micro_batch_tokens *= 2; }), 0);
  EXPECT_LT(more([&] { options.update.gradient_checkpointing = true; }), 0);
  EXPECT_GT(more([&] { options.rollout.max_new_tokens *= 8; }), 0);
}

}  // namespace
}  // namespace thinktune::train
