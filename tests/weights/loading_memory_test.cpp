// What loading takes: the model in its target type and one tensor of the file, not the whole file beside it.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <deque>
#include <fstream>

#include "support/paths.h"
#include "thinktune/weights/convert.h"
#include "thinktune/weights/gguf.h"
#include "thinktune/weights/safetensors.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRows = 4096, kColumns = 2048;  // a tensor of 8 Mi elements
constexpr int kTensors = 10;
constexpr size_t kSlackBytes = 4 << 20;  // of the allocator, the stack, pages around a tensor's ends

// A line of /proc/self/status in bytes.
size_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != key + ":") continue;
    size_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  throw std::runtime_error("/proc/self/status has no " + key);
}

bool can_reset_peak() {
  std::ofstream clear("/proc/self/clear_refs");
  return static_cast<bool>(clear << "5" << std::flush);
}

// Memory straight from the system: the allocator could hand out what an earlier test left in its pools, and the process
// would not grow.
class Pages {
 public:
  explicit Pages(size_t num_bytes)
      : num_bytes_(num_bytes),
        data_(::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (data_ == MAP_FAILED) throw std::bad_alloc();
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { ::munmap(data_, num_bytes_); }
  void* data() const { return data_; }

 private:
  size_t num_bytes_;
  void* data_;
};

// By how much the process grows at most while `source` is loaded as BF16.
size_t peak_of_loading(const TensorSource& source, bool with_release) {
  std::ofstream("/proc/self/clear_refs") << "5" << std::flush;  // the peak is counted from here
  const size_t before = status_bytes("VmRSS");
  std::deque<Pages> loaded;
  for (const TensorInfo& tensor : source.tensors()) {
    loaded.emplace_back(bytes_of(DType::BF16, tensor.num_elements()));
    read_into(tensor, DType::BF16, loaded.back().data());
    if (with_release) source.release(tensor);
  }
  const size_t peak = status_bytes("VmHWM");
  return peak - std::min(before, peak);
}

void expect_bounded(const TensorSource& source) {
  if (!fs::exists("/proc/self/status") || !can_reset_peak()) GTEST_SKIP() << "no /proc whose peak can be reset";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  size_t target_bytes = 0, largest = 0, file_bytes = 0;
  for (const TensorInfo& tensor : source.tensors()) {
    target_bytes += bytes_of(DType::BF16, tensor.num_elements());
    largest = std::max(largest, tensor.bytes.size());
    file_bytes += tensor.bytes.size();
  }
  const size_t bound = target_bytes + largest + kSlackBytes;
  ASSERT_GT(target_bytes + file_bytes, bound + (32 << 20)) << "the test could not tell";
  const size_t peak = peak_of_loading(source, true);
  EXPECT_LE(peak, bound);
  EXPECT_GE(peak, target_bytes) << "the measurement missed the model itself";
  EXPECT_GT(peak_of_loading(source, false), bound) << "the measurement does not see mapped pages";
  testing::Test::RecordProperty("peak_mb", std::to_string(peak >> 20));
  testing::Test::RecordProperty("bound_mb", std::to_string(bound >> 20));
}

TEST(LoadingMemory, Safetensors) {
  const test::TempFolder folder;
  const fs::path path = folder.path() / "model.safetensors";
  const size_t tensor_bytes = bytes_of(DType::BF16, kRows * kColumns);
  std::string header;
  for (int i = 0; i < kTensors; ++i)
    header += fmt::format(R"({}"w{}":{{"dtype":"BF16","shape":[{},{}],"data_offsets":[{},{}]}})", i == 0 ? "{" : ",", i,
                          kRows, kColumns, i * tensor_bytes, (i + 1) * tensor_bytes);
  test::write_bytes(path, test::safetensors_bytes(header + "}", ""));
  fs::resize_file(path, fs::file_size(path) + kTensors * tensor_bytes);  // the data is a hole: no disk, but pages
  expect_bounded(Safetensors(path));
}

TEST(LoadingMemory, Gguf) {
  const test::TempFolder folder;
  const fs::path path = folder.path() / "model.gguf";
  const size_t tensor_bytes = bytes_of(DType::Q8_0, kRows * kColumns);
  test::SampleGguf file;
  for (uint64_t i = 0; i < kTensors; ++i)
    file.add_info("w" + std::to_string(i), {kColumns, kRows}, test::kTensorQ8_0, i * tensor_bytes);
  file.data = std::string(32, '\0');  // the builder aligns the data
  test::write_bytes(path, file.bytes());
  fs::resize_file(path, fs::file_size(path) - 32 + kTensors * tensor_bytes);
  expect_bounded(Gguf(path));
}

}  // namespace
}  // namespace thinktune::weights
