// Loading takes the model's size in the wanted type and one tensor more, whatever the file holds.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "support/paths.h"
#include "support/tiny_model.h"
#include "thinktune/model/pretrained.h"
#include "thinktune/model/save.h"

namespace thinktune::model {
namespace {

constexpr int64_t kMega = 1 << 20;

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// How far the process's memory rises above where it was, at its highest, while a child of this process loads the model.
int64_t peak_of_loading(const std::filesystem::path& model, at::ScalarType dtype) {
  int result[2];
  if (::pipe(result) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    // A child's high-water mark begins at what it has at the fork.
    const int64_t before = resident_bytes();
    const Weights weights = Pretrained(model).load_weights(dtype);
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const int64_t rise = usage.ru_maxrss * 1024 - before;
    const bool written = ::write(result[1], &rise, sizeof rise) == sizeof rise;
    ::_exit(written && weights.embedding.defined() ? 0 : 1);
  }
  ::close(result[1]);
  int64_t rise = -1;
  const bool read = ::read(result[0], &rise, sizeof rise) == sizeof rise;
  ::close(result[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return read && status == 0 ? rise : -1;
}

TEST(LoadMemory, ThePeakIsTheModelAndItsLargestTensor) {
  if (!std::filesystem::exists("/proc/self/statm")) GTEST_SKIP() << "no /proc/self/statm to read memory from";
  ModelConfig config = test::tiny_config();
  config.vocab_size = 12000;
  config.hidden_size = 768;
  config.intermediate_size = 2048;
  config.num_layers = 6;
  config.head_dim = 192;
  config.rotary_dim = 192;
  config.attention_scale = 0.07;
  const test::TempFolder folder;
  {
    const Weights zeros =
        map_weights(empty_weights(config, at::kBFloat16), [](const at::Tensor& t) { return t.zero_(); });
    save_pretrained(folder.path(), config, zeros, {});
  }
  const int64_t parameters = num_parameters(config), largest = config.vocab_size * config.hidden_size;
  ASSERT_GT(parameters, 40'000'000);
  for (const auto& [dtype, element] : {std::pair{at::kBFloat16, 2}, {at::kFloat, 4}, {at::kHalf, 2}}) {
    const int64_t peak = peak_of_loading(folder.path(), dtype);
    EXPECT_GE(peak, parameters * element - 4 * kMega) << at::toString(dtype);
    EXPECT_LE(peak, (parameters + largest) * element + 8 * kMega) << at::toString(dtype);
    std::printf("%s: %.1f MB of weights, peak %.1f MB\n", at::toString(dtype), parameters * element / 1e6, peak / 1e6);
  }
}

}  // namespace
}  // namespace thinktune::model
