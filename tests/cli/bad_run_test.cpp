// Output folders that cannot be written, disks that become full, checkpoints that cannot be gone on from.
#include "program.h"

namespace thinktune::cli {
namespace {

class BadRun : public ProgramTest {
 protected:
  fs::path checkpoint(int step) const { return output_ / "checkpoints" / ("step-" + std::to_string(step)); }

  void flip_byte(const fs::path& file) {
    std::string text = read_text(file);
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
    write_text(file, text);
  }

  // What stands in the folder of the checkpoints; a temporary folder left behind would be seen.
  std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(output_ / "checkpoints"))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(BadRun, TheOutputFolderIsAFile) {
  write_text(output_, "a file\n");
  expect_refused(train(), {output_.string(), "Not a directory"});
  EXPECT_EQ(read_text(output_), "a file\n");
}

TEST_F(BadRun, TheOutputFolderIsNotWritable) {
  // /proc refuses new files to everybody, root included.
  expect_refused(train({"--set", "output=/proc/thinktune-run"}), {"/proc/thinktune-run"});
  EXPECT_FALSE(fs::exists("/proc/thinktune-run"));
}

TEST_F(BadRun, TheOutputFolderIsNotNamed) { expect_refused_untouched({"output is missing"}, {"--set", "output="}); }

// The weights of the checkpoint do not fit any more: what was saved before stays, and nothing half-written is left.
TEST_F(BadRun, TheDiskBecomesFullWhileSaving) {
  write_config({{"checkpoint", {{"every", 1}}}});
  expect_success(train({"--stop-after", "1"}));
  const auto before = snapshot(checkpoint(1));
  const Outcome full = train({"--resume"}, {.file_bytes = fs::file_size(checkpoint(1) / "model.safetensors") / 2});
  expect_refused(full, {"step-2", "what was saved before is untouched"});
  EXPECT_EQ(checkpoints(), std::vector<std::string>{"step-1"});
  EXPECT_TRUE(snapshot(checkpoint(1)) == before);
  expect_success(train({"--resume"}));
  EXPECT_TRUE(fs::exists(checkpoint(2) / "manifest.json"));
}

TEST_F(BadRun, ResumeFallsBackToTheCheckpointBeforeADamagedOne) {
  write_config({{"checkpoint", {{"every", 1}}}});
  expect_success(train());
  const std::string whole = read_text(checkpoint(2) / "model.safetensors");
  flip_byte(checkpoint(2) / "model.safetensors");
  const Outcome resumed = train({"--resume"});
  expect_success(resumed);
  EXPECT_THAT(resumed.err + resumed.out,
              AllOf(HasSubstr(checkpoint(2).string()), HasSubstr("damaged"), HasSubstr("step 1")));
  EXPECT_EQ(read_text(checkpoint(2) / "model.safetensors"), whole) << "the step done again gives the same weights";
}

TEST_F(BadRun, ResumeWithoutAWholeCheckpoint) {
  expect_success(train());
  for (const auto& entry : fs::directory_iterator(output_ / "checkpoints"))
    flip_byte(entry.path() / "training_state.safetensors");
  const auto before = snapshot(output_ / "checkpoints");
  expect_refused(train({"--resume"}), {"there is no whole checkpoint to resume from in", "training_state.safetensors"},
                 kData);
  EXPECT_TRUE(snapshot(output_ / "checkpoints") == before);
}

TEST_F(BadRun, ResumeWhereNothingIs) {
  expect_refused_untouched({"there is no whole checkpoint to resume from in", "start the run without --resume"},
                           {"--resume"});
}

// Checkpoints that were there are gone: to begin anew would be to lose the run.
TEST_F(BadRun, ResumeWhereTheCheckpointsAreGone) {
  const std::vector<std::string> often = {"--resume", "--set", "checkpoint.every=1", "--set", "steps=5"};
  expect_success(train({"--set", "checkpoint.every=1", "--set", "steps=5", "--stop-after", "4"}));
  fs::rename(output_ / "checkpoints", folder_.path() / "unmounted");
  const std::string metrics = read_text(output_ / "metrics.jsonl");
  expect_refused(train(often), {"has done 4 steps, with a checkpoint every 1, and there is none in " +
                                    (output_ / "checkpoints").string(),
                                "bring them back"});
  fs::create_symlink(folder_.path() / "nowhere", output_ / "checkpoints");
  expect_refused(train(often), {(output_ / "checkpoints").string() + " leads to ", "which is not there"});
  EXPECT_EQ(read_text(output_ / "metrics.jsonl"), metrics);
  fs::remove(output_ / "checkpoints");
  fs::create_symlink(folder_.path() / "unmounted", output_ / "checkpoints");
  expect_success(train(often));
  EXPECT_TRUE(fs::exists(folder_.path() / "unmounted" / "step-5"));
}

TEST_F(BadRun, ResumeFromAForeignCheckpoint) {
  expect_success(train());
  const auto before = snapshot(output_ / "checkpoints");
  const fs::path other = folder_.path() / "other";
  test::write_tiny_model(other, 7);
  json config = json::parse(read_text(other / "config.json"));
  config["rope_theta"] = config["rope_parameters"]["rope_theta"] = 12345.0;
  write_text(other / "config.json", config.dump());
  expect_refused(train({"--resume", "--set", "steps=4", "--set", "model=" + other.string()}),
                 {"belongs to another model", "rope_theta", "12345"}, kData);
  EXPECT_TRUE(snapshot(output_ / "checkpoints") == before);
}

TEST_F(BadRun, AFinishedRunIsNotStartedAgain) {
  expect_success(train());
  const auto before = snapshot(output_);
  expect_refused(train(), {"holds the checkpoints of another run", "--resume"});
  expect_refused(train({"--resume"}), {"is finished: 2 of 2 steps are done", "--set steps=N"});
  for (const char* file : {"metrics.jsonl", "eval.jsonl", "config.json"})
    EXPECT_EQ(read_text(output_ / file), before.at(file)) << file;
}

}  // namespace
}  // namespace thinktune::cli
