// What a decode step allocates: for its operations, nothing for a sequence or a token.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <numeric>
#include <vector>

#include "support/tiny_model.h"
#include "thinktune/infer/engine.h"

namespace {
std::atomic<int64_t> num_allocations = 0;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they have their own
void* operator new(size_t bytes) {
  ++num_allocations;
  if (void* at = std::malloc(std::max<size_t>(bytes, 1))) return at;
  throw std::bad_alloc();
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
#endif

namespace thinktune::infer {
namespace {

class CountingAllocator final : public at::Allocator {
 public:
  CountingAllocator() { c10::SetCPUAllocator(this, 100); }
  ~CountingAllocator() override { c10::SetCPUAllocator(machine_, 100); }

  at::DataPtr allocate(size_t num_bytes) override {
    ++num_allocations;
    return machine_->allocate(num_bytes);
  }
  at::DeleterFnPtr raw_deleter() const override { return machine_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    machine_->copy_data(to, from, num_bytes);
  }

 private:
  at::Allocator* machine_ = c10::GetCPUAllocator();
};

// Of tensors and by `new`, in a decode step of so many sequences with one prompt that go on as long as each other. The
// median of many steps: what a thread keeps for its next step comes when it first has work, a page's entry with its
// page.
int64_t allocations_of_a_step(at::ScalarType dtype, int64_t sequences) {
  model::ModelConfig config = test::tiny_config();
  config.head_dim = config.rotary_dim = 32;
  const model::Decoder decoder(config);
  const model::Weights weights = test::random_weights(config, 7, dtype);
  const model::Vocabulary vocabulary = test::byte_vocabulary(config);
  Engine engine(decoder, weights, *vocabulary.tokenizer, {.max_sequences = sequences, .ignore_eos = true});
  std::vector<int64_t> at_each_round;
  at_each_round.reserve(59);  // the first of 60 tokens comes with the prompt
  engine.before_each_round([&] { at_each_round.push_back(num_allocations); });
  const Request request{.prompt_ids = {1, 2, 3, 4, 5, 6}, .num_samples = sequences, .max_new_tokens = 60};
  const CountingAllocator counting;
  engine.generate({request}, {.temperature = 0.9}, {.seed = 3});
  EXPECT_EQ(at_each_round.size(), 59);
  std::vector<int64_t> of_each_step(at_each_round.size());
  std::adjacent_difference(at_each_round.begin(), at_each_round.end(), of_each_step.begin());
  std::ranges::sort(of_each_step);
  return of_each_step[of_each_step.size() / 2];
}

class Allocations : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Allocations, OfADecodeStepDoNotGrowWithItsSequences) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own `new` is not counted";
#endif
  const int num_threads = at::get_num_threads();
  at::set_num_threads(2);  // each draws with a memory of its own
  const int64_t few = allocations_of_a_step(GetParam(), 16), many = allocations_of_a_step(GetParam(), 64);
  at::set_num_threads(num_threads);
  EXPECT_GT(few, 0);
  EXPECT_EQ(many, few);
  RecordProperty("allocations_of_a_step", std::to_string(many));
}

INSTANTIATE_TEST_SUITE_P(InEachType, Allocations, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& param) { return std::string(at::toString(param.param)); });

}  // namespace
}  // namespace thinktune::infer
