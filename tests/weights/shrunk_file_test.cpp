// Models whose files become shorter while they are read, each in a child process.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "support/paths.h"
#include "thinktune/weights/gguf.h"
#include "thinktune/weights/safetensors.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class ShrunkFile : public testing::Test {
 protected:
  static constexpr uint64_t kElements = 1 << 16;

  void SetUp() override {
    const std::string numbers(4 * kElements, '\0');
    test::SampleGguf gguf;
    gguf.add_value("general.architecture", test::kString, test::bytes_of_text("llama"));
    gguf.add_tensor("w", {kElements}, test::kTensorF32, numbers);
    test::write_bytes(gguf_, gguf.bytes());
    const nlohmann::json header = {
        {"w", {{"dtype", "F32"}, {"shape", {kElements}}, {"data_offsets", {0, 4 * kElements}}}}};
    test::write_bytes(safetensors_, test::safetensors_bytes(header.dump(), numbers));
  }

  // Opens the file, cuts it, reads it on as many threads as it says; requires that its end names the file.
  template <class Source>
  void expect_named(const fs::path& path, int num_threads) const {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(pipe[1], STDERR_FILENO);
      core::name_mapped_files_that_fail();
      const Source source(path);
      fs::resize_file(path, fs::file_size(path) / 2);
      std::vector<std::thread> threads;
      for (int i = 0; i < num_threads; ++i) threads.emplace_back([&] { test::read_all(source); });
      for (std::thread& thread : threads) thread.join();
      ::_exit(0);
    }
    ::close(pipe[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t count; (count = ::read(pipe[0], buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(count));
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), core::exit_code(core::ErrorKind::Data));
    EXPECT_THAT(text, testing::StartsWith("error: " + path.string() + " became shorter while it was read\n  "));
    EXPECT_EQ(text.find("error: "), text.rfind("error: ")) << text;
  }

  test::TempFolder folder_;
  fs::path gguf_ = folder_.path() / "model.gguf", safetensors_ = folder_.path() / "model.safetensors";
};

TEST_F(ShrunkFile, AGgufIsNamed) { expect_named<Gguf>(gguf_, 1); }
TEST_F(ShrunkFile, ASafetensorsFileIsNamed) { expect_named<Safetensors>(safetensors_, 1); }
TEST_F(ShrunkFile, IsNamedOnceByManyThreads) { expect_named<Safetensors>(safetensors_, 8); }

}  // namespace
}  // namespace thinktune::weights
