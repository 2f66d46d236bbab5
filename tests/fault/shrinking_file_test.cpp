// The program itself, reading a model whose file becomes shorter.
#include "fault/process.h"

namespace thinktune::cli {
namespace {

class ShrinkingFile : public ProgramTest {
 protected:
  void expect_named(const std::vector<std::string>& command, const fs::path& file) const {
    fault::Process process(command, folder_.path(), {"LD_PRELOAD=" TT_SHRINKING_FILE, "TT_SHRINKS=" + file.string()});
    EXPECT_EQ(process.wait(), kData);
    std::string call = TT_BINARY;
    for (const std::string& word : command) call += " " + word;
    EXPECT_THAT(process.err(), AllOf(HasSubstr("error: " + file.string() + " became shorter while it was read\n"),
                                     HasSubstr("\n  where: set-up, before the first step; nothing was saved\n"),
                                     HasSubstr("\n  to begin: " + call + "\n")));
  }
};

TEST_F(ShrinkingFile, OfSafetensorsIsNamed) {
  expect_named({"train", "--config", config_.string()}, model_ / "model.safetensors");
}

TEST_F(ShrinkingFile, OfGgufIsNamed) {
  const fs::path gguf = folder_.path() / "model.gguf";
  expect_success(run_program({"convert", model_.string(), gguf.string()}));
  expect_named({"train", "--config", config_.string(), "--set", "model=" + gguf.string()}, gguf);
}

}  // namespace
}  // namespace thinktune::cli
