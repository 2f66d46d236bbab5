// The engine on a GPU beside the CPU's: pages, recorded steps, drawing on the device.
#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/GradMode.h>

#include "support/gpu.h"
#include "support/tiny_model.h"
#include "thinktune/infer/engine.h"

namespace thinktune::infer {
namespace {

const text::Tokenizer& tokenizer() {
  static const model::Vocabulary vocabulary = test::byte_vocabulary(test::tiny_config());
  return *vocabulary.tokenizer;
}

std::vector<Request> requests(int64_t samples) {
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

model::Weights on(at::Device device, const model::Weights& weights) {
  return model::map_weights(weights, [&](const at::Tensor& t) { return t.to(device); });
}

using Results = std::vector<std::vector<Generation>>;

void expect_same(const Results& got, const Results& expected, double tolerance) {
  for (size_t r = 0; r < expected.size(); ++r)
    for (size_t s = 0; s < expected[r].size(); ++s) {
      SCOPED_TRACE(testing::Message() << "request " << r << " sample " << s);
      ASSERT_EQ(got[r][s].ids, expected[r][s].ids);
      EXPECT_EQ(got[r][s].stop, expected[r][s].stop);
      for (size_t i = 0; i < expected[r][s].logprobs.size(); ++i)
        EXPECT_NEAR(got[r][s].logprobs[i], expected[r][s].logprobs[i], tolerance);
    }
}

TEST(EngineCuda, DrawsTheCpusTokensInEveryFamily) {
  TT_REQUIRE_GPU(gpu);
  std::vector<model::ModelConfig> configs = test::tiny_configs_of_families();
  configs.push_back(test::tiny_config());
  for (const model::ModelConfig& config : configs) {
    SCOPED_TRACE(config.family);
    const model::Weights weights = test::random_weights(config, 9, at::kFloat), copies = on(gpu, weights);
    const model::Decoder cpu_decoder(config), gpu_decoder(config, gpu);
    Engine cpu(cpu_decoder, weights, tokenizer(), {}), engine(gpu_decoder, copies, tokenizer(), {});
    for (const SamplingOptions& sampling : {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 0.9},
                                            SamplingOptions{.temperature = 1, .top_k = 20}})
      expect_same(engine.generate(requests(4), sampling, {.seed = 5}), cpu.generate(requests(4), sampling, {.seed = 5}),
                  1e-4);
  }
}

TEST(EngineCuda, SlotsAndMemoryDoNotShow) {
  TT_REQUIRE_GPU(gpu);
  const model::Weights weights = on(gpu, test::random_weights(test::tiny_config(), 9, at::kFloat));
  const model::Decoder decoder(test::tiny_config(), gpu);
  const auto generate = [&](const EngineOptions& options) {
    return Engine(decoder, weights, tokenizer(), options).generate(requests(4), {.temperature = 0.8}, {.seed = 1});
  };
  const Results expected = generate({});
  expect_same(generate({1, 2048, 1}), expected, 1e-4);
  expect_same(generate({5, 1, 1}), expected, 1e-4);
}

// Steps launched kernel by kernel, and pages that are reserved, and that grow beneath steps on their way.
TEST(EngineCuda, GraphsAndReservedPagesDoNotShow) {
  TT_REQUIRE_GPU(gpu);
  const model::Weights weights = on(gpu, test::random_weights(test::tiny_config(), 9, at::kBFloat16));
  const model::Decoder decoder(test::tiny_config(), gpu);
  const auto generate = [&](const EngineOptions& options) {
    Engine engine(decoder, weights, tokenizer(), options);
    engine.generate(requests(1), {}, {.seed = 4});
    return engine.generate(requests(40), {}, {.seed = 1});
  };
  const EngineOptions options{.max_sequences = 100};
  const Results expected = generate(options);
  EngineOptions changed = options;
  changed.cuda_graphs = false;
  expect_same(generate(changed), expected, 0);
  changed.cuda_graphs = true;
  changed.reserved_tokens = kv_tokens(options, 46, 47);
  expect_same(generate(changed), expected, 0);
}

// Bytes that LibTorch holds of the GPU and would not give back.
int64_t held_bytes(at::Device gpu) {
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  c10::DeviceAllocator* allocator = c10::getDeviceAllocator(at::kCUDA);
  allocator->emptyCache();
  return allocator->getDeviceStats(gpu.index()).reserved_bytes[kAll].current;
}

TEST(EngineCuda, RecordingsShareOneMemoryAndGiveItBack) {
  TT_REQUIRE_GPU(gpu);
  const model::Weights weights = on(gpu, test::random_weights(test::tiny_config(), 9, at::kFloat));
  const model::Decoder decoder(test::tiny_config(), gpu);
  EngineOptions options{.max_sequences = 100, .ignore_eos = true};
  options.reserved_tokens = kv_tokens(options, 46, 47);
  Engine engine(decoder, weights, tokenizer(), options);
  std::vector<Request> longest = requests(100);  // alone, its samples end together: steps of one size
  longest.erase(longest.begin(), longest.end() - 1);
  const int64_t none = held_bytes(gpu);
  engine.generate(longest, {}, {.seed = 1});
  const int64_t one_size = held_bytes(gpu);
  const Results expected = engine.generate(requests(40), {}, {.seed = 1});  // steps of every size
  const int64_t all_sizes = held_bytes(gpu);
  EXPECT_LT(all_sizes - one_size, one_size - none) << "pages, cuBLAS's workspace and the largest step's are there once";
  engine.set_max_sequences(50);
  const int64_t after = held_bytes(gpu);
  EXPECT_LT(after, all_sizes);
  expect_same(engine.generate(requests(40), {}, {.seed = 1}), expected, 1e-4);
}

// Student and teacher: pages and the memory of recordings are both's, and what one has recorded outlives the other's
// turn.
TEST(EngineCuda, EnginesBesideEachOtherShareOneMemory) {
  TT_REQUIRE_GPU(gpu);
  const model::Weights first = on(gpu, test::random_weights(test::tiny_config(), 9, at::kBFloat16)),
                       second = on(gpu, test::random_weights(test::tiny_config(), 10, at::kBFloat16));
  const model::Decoder decoder(test::tiny_config(), gpu);
  Engine student(decoder, first, tokenizer(), {}), teacher(student, second);
  Engine student_alone(decoder, first, tokenizer(), {}), teacher_alone(decoder, second, tokenizer(), {});
  for (Engine* engine : {&teacher, &teacher_alone}) engine->hold_prefix({10, 11, 12, 13, 14, 15, 16, 17, 18});
  for (int turn = 0; turn < 3; ++turn) {
    const core::RandomKey key = {.seed = 3, .step = static_cast<uint64_t>(turn)};
    expect_same(student.generate(requests(1 + 8 * turn), {}, key),
                student_alone.generate(requests(1 + 8 * turn), {}, key), 0);
    student.weights_changed();
    expect_same(teacher.generate(requests(1), {.temperature = 0}, key),
                teacher_alone.generate(requests(1), {.temperature = 0}, key), 0);
  }
  EXPECT_GT(student.kept_bytes(), 0);
  teacher.release();
  EXPECT_EQ(student.kept_bytes(), 0);
}

TEST(EngineCuda, TheSameBitsEachTimeInBfloat16) {
  TT_REQUIRE_GPU(gpu);
  const model::Weights weights = on(gpu, test::random_weights(test::tiny_config(), 9, at::kBFloat16));
  const model::Decoder decoder(test::tiny_config(), gpu);
  Engine first(decoder, weights, tokenizer(), {}), second(decoder, weights, tokenizer(), {});
  expect_same(first.generate(requests(8), {}, {.seed = 1}), second.generate(requests(8), {}, {.seed = 1}), 0);
}

// Recorded steps read the weights where they lie: an update in place shows.
TEST(EngineCuda, ChangedWeightsShow) {
  TT_REQUIRE_GPU(gpu);
  c10::NoGradGuard no_grad;
  const model::ModelConfig config = test::tiny_config();
  const model::Weights weights = on(gpu, test::random_weights(config, 9, at::kFloat));
  const model::Weights others = on(gpu, test::random_weights(config, 10, at::kFloat));
  const model::Decoder decoder(config, gpu);
  Engine engine(decoder, weights, tokenizer(), {}), other(decoder, others, tokenizer(), {});
  const Results before = engine.generate(requests(2), {.temperature = 0}, {});
  const std::vector<at::Tensor> to = model::tensor_list(weights), from = model::tensor_list(others);
  for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i]);
  engine.weights_changed();
  const Results after = engine.generate(requests(2), {.temperature = 0}, {});
  expect_same(after, other.generate(requests(2), {.temperature = 0}, {}), 0);
  EXPECT_NE(after[5][0].ids, before[5][0].ids);
}

}  // namespace
}  // namespace thinktune::infer
