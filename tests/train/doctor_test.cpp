// What each check finds, on inputs made for it.
#include "thinktune/train/doctor.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "small_run.h"
#include "src/train/doctor_parts.h"
#include "src/train/file_checksum.h"
#include "support/errors.h"
#include "thinktune/train/memory.h"

namespace thinktune::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Doctor : public ::testing::Test {
 protected:
  void SetUp() override { test::write_model(folder_.path() / "model"); }

  std::map<std::string, Finding> examine(const TrainOptions& options, bool sampled = false) const {
    std::map<std::string, Finding> findings;
    examine_run(options, {.sampled = sampled, .num_problems = 4},
                [&](const Finding& finding) { findings[finding.check] = finding; });
    return findings;
  }
  static void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }

  thinktune::test::TempFolder folder_;
  TrainOptions options_ = test::small_options(folder_.path());
};

class FreeHostMemory : public ::testing::Test {
 protected:
  void SetUp() override { write("proc/meminfo", "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\n"); }
  void write(const std::string& file, const std::string& text) const {
    const fs::path path = folder_.path() / file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void expect(int64_t bytes, bool of_group) const {
    const FreeMemory free = free_host_memory(folder_.path());
    EXPECT_EQ(free.bytes, bytes);
    EXPECT_EQ(free.of_group, of_group);
  }

  thinktune::test::TempFolder folder_;
};

TEST_F(FreeHostMemory, WithoutAGroupTheMachines) {
  expect(8000 * 1024, false);
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/memory.current", "5000000\n");
  expect(8000 * 1024, false);
  const FreeMemory here = free_host_memory();
  EXPECT_GT(here.bytes, 0);
}

TEST_F(FreeHostMemory, TheLeastOfAGroupAndThoseThatItIsIn) {
  write("proc/self/cgroup", "0::/jobs/mine\n");
  write("sys/fs/cgroup/jobs/mine/memory.max", "max\n");
  write("sys/fs/cgroup/jobs/mine/memory.current", "100\n");
  write("sys/fs/cgroup/jobs/memory.max", "3000000\n");
  write("sys/fs/cgroup/jobs/memory.current", "2500000\n");
  write("sys/fs/cgroup/jobs/memory.stat", "anon 1\nfile 900000\ninactive_file 400000\nactive_file 500000\n");
  expect(900000, true);
  write("sys/fs/cgroup/jobs/mine/memory.max", "1000\n");
  expect(900, true);
  write("sys/fs/cgroup/jobs/mine/memory.current", "2000\n");  // a limit that was lowered
  expect(0, true);
  write("sys/fs/cgroup/jobs/mine/memory.max", "100000000\n");
  write("sys/fs/cgroup/jobs/memory.max", "100000000\n");
  expect(8000 * 1024, false);
}

// Version 1, in a container that sees the host's path of its group.
TEST_F(FreeHostMemory, OfVersionOne) {
  write("proc/self/cgroup", "9:name=systemd:/docker/0123\n4:cpu,memory:/docker/0123\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500000\n");
  write("sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file 500000\n");
  expect(1000000, true);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  expect(8000 * 1024, false);
  write("sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes", "70000\n");
  write("sys/fs/cgroup/memory/docker/0123/memory.usage_in_bytes", "10000\n");
  expect(60000, true);
}

TEST_F(FreeHostMemory, AGroupOutsideOfWhatIsSeen) {
  write("proc/self/cgroup", "0::/../../other\n");
  write("sys/fs/cgroup/memory.max", "5000\n");
  write("sys/fs/cgroup/memory.current", "1000\n");
  expect(4000, true);
}

// FIPS 180-4's example, and what `git hash-object` says.
TEST(FileChecksum, KnownDigests) {
  const thinktune::test::TempFolder folder;
  std::ofstream(folder.path() / "abc") << "abc";
  std::ofstream(folder.path() / "empty");
  EXPECT_EQ(sha256_of(folder.path() / "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of(folder.path() / "empty"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(git_blob_sha1_of(folder.path() / "empty"), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(git_blob_sha1_of(folder.path() / "abc"), "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
}

TEST_F(Doctor, ChecksumsOfADownloadedFolder) {
  const fs::path model = folder_.path() / "model", notes = model / ".cache" / "huggingface" / "download";
  EXPECT_THAT(examine(options_)["model files"].found, HasSubstr("no checksum came with it: the SHA-256 of"));
  write(notes / "model.safetensors.metadata", "0123\n" + sha256_of(model / "model.safetensors") + "\n1700000000.0\n");
  write(notes / "config.json.metadata", "0123\n" + git_blob_sha1_of(model / "config.json") + "\n1700000000.0\n");
  Finding found = examine(options_)["model files"];
  EXPECT_EQ(found.health, Health::Ok);
  EXPECT_THAT(found.found, HasSubstr("2 files have the Hub's checksums"));
  std::ofstream(model / "config.json", std::ios::app) << " ";
  found = examine(options_)["model files"];
  EXPECT_EQ(found.health, Health::Failed);
  EXPECT_EQ(found.kind, core::ErrorKind::Data);
  EXPECT_THAT(found.found, HasSubstr("config.json is not what was downloaded"));
}

TEST_F(Doctor, ChecksumsOfTheHubsCache) {
  const fs::path hub = folder_.path() / "models--a--b", revision = hub / "snapshots" / "0123";
  fs::create_directories(hub / "blobs");
  fs::create_directories(revision);
  for (const auto& entry : fs::directory_iterator(folder_.path() / "model")) {
    const fs::path file = entry.path();
    const std::string blob = file.extension() == ".safetensors" ? sha256_of(file) : git_blob_sha1_of(file);
    fs::copy_file(file, hub / "blobs" / blob);
    fs::create_symlink("../../blobs/" + blob, revision / file.filename());
  }
  options_.model = revision.string();
  EXPECT_THAT(examine(options_)["model files"].found, HasSubstr("files have the Hub's checksums"));
  std::ofstream(fs::canonical(revision / "config.json"), std::ios::app) << " ";
  EXPECT_EQ(examine(options_)["model files"].health, Health::Failed);
}

TEST_F(Doctor, WeightsThatAreNoNumbers) {
  const fs::path file = folder_.path() / "model" / "model.safetensors";
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(-4, std::ios::end);
  out.write("\xff\xff\xff\xff", 4);
  out.close();
  const Finding found = examine(options_)["model files"];
  EXPECT_EQ(found.health, Health::Failed);
  EXPECT_THAT(found.found, HasSubstr("holds values that are no numbers"));
}

TEST_F(Doctor, GoldAnswersThatTheRewardCannotRead) {
  const fs::path data = folder_.path() / "data.jsonl";
  options_.data = {.train_file = data.string()};
  write(data,
        "{\"id\": \"good\", \"problem\": \"1+1?\", \"answer\": \"2\"}\n"
        "{\"id\": \"bad\", \"problem\": \"2+2?\", \"answer\": \"}\"}\n");
  Finding found = examine(options_)["reward"];
  EXPECT_EQ(found.health, Health::Warning) << found.found;
  EXPECT_THAT(found.found, AllOf(HasSubstr("1 of 2 gold answers"), HasSubstr("not bad (")));
  write(data, "{\"id\": \"bad\", \"problem\": \"2+2?\", \"answer\": \"}\"}\n");
  found = examine(options_)["reward"];
  EXPECT_EQ(found.health, Health::Failed);
  EXPECT_THAT(found.advice, HasSubstr("no answer can earn anything"));
}

TEST_F(Doctor, ARewardCommandThatDoesNotAnswer) {
  options_.reward.command = {.weight = 1, .argv = {"/bin/false"}};
  Finding found = examine(options_)["reward"];
  EXPECT_EQ(found.health, Health::Failed);
  EXPECT_THAT(found.found, HasSubstr("the command of the reward"));
  options_.reward.command.argv = {"sh", "-c", "while read line; do echo nonsense; done"};
  found = examine(options_)["reward"];
  EXPECT_EQ(found.health, Health::Failed);
  EXPECT_THAT(found.found, HasSubstr("its reply is no JSON"));
}

TEST_F(Doctor, PromptsThatAreTooLong) {
  options_.prompt.max_prompt_tokens = 1;
  const auto findings = examine(options_, true);
  EXPECT_EQ(findings.at("prompts").health, Health::Failed);
  EXPECT_EQ(findings.at("base model").health, Health::Skipped);
}

TEST_F(Doctor, DiskAndMemory) {
  options_.steps = 1'000'000'000;
  options_.checkpoint.every = 1;
  options_.checkpoint.retention.keep_last = 0;
  EXPECT_EQ(examine(options_)["disk"].health, Health::Failed);
  options_.checkpoint.retention.keep_last = 2;
  EXPECT_EQ(examine(options_)["disk"].health, Health::Ok);
  EXPECT_THAT(examine(options_)["disk"].found, HasSubstr("3 checkpoints of "));
  options_.checkpoint.every = 0;
  EXPECT_THAT(examine(options_)["disk"].found,
              AllOf(HasSubstr("1 checkpoint of "), HasSubstr("the only one is that of step 1000000000")));
  EXPECT_EQ(examine(options_)["disk"].health, Health::Warning);
  options_.checkpoint.retention.keep_best = 2;  // those of evaluations, besides
  options_.eval.every = 10;
  EXPECT_THAT(examine(options_)["disk"].found, HasSubstr("5 checkpoints of "));
  fs::create_directories(fs::path(options_.output) / "checkpoints");
  EXPECT_EQ(examine(options_)["disk"].health, Health::Warning);
  std::ofstream(folder_.path() / "file");
  options_.output = (folder_.path() / "file" / "run").string();
  EXPECT_EQ(examine(options_)["disk"].health, Health::Failed);
  EXPECT_EQ(examine(options_)["memory"].health, Health::Ok);
  options_.update.micro_batch_tokens = int64_t{1} << 40;
  EXPECT_EQ(examine(options_)["memory"].health, Health::Failed) << examine(options_)["memory"].found;
}

// The ranks of a machine share its memory, and a copy that is being saved is rank 0's alone.
TEST_F(Doctor, RanksOfOneMachineShareItsMemory) {
  const model::ModelConfig config = thinktune::test::tiny_config();
  options_.checkpoint.every = 1;
  const int64_t one = peak_bytes(memory_of_training(config, options_, 4));
  const auto with = [&](int64_t local, int64_t free) {
    return judge_memory(options_, config, {.all = 4, .local = local}, {.bytes = free, .of_group = true});
  };
  EXPECT_EQ(with(1, 2 * one).health, Health::Ok) << with(1, 2 * one).found;
  const Verdict four = with(4, 2 * one);
  EXPECT_EQ(four.health, Health::Failed) << four.found;
  EXPECT_EQ(four.kind, core::ErrorKind::Device);
  EXPECT_THAT(four.found, AllOf(HasSubstr(" GB on each rank, "), HasSubstr(" GB on the 4 of this machine"),
                                HasSubstr("within the limit of this container")));
  EXPECT_THAT(four.advice, HasSubstr("fewer ranks"));
  const int64_t copy = 12 * model::num_parameters(config);
  EXPECT_EQ(with(4, 4 * one - 3 * copy - 1).health, Health::Failed);
  EXPECT_EQ(with(4, 4 * one - 3 * copy).health, Health::Warning);
}

TEST_F(Doctor, TheBaseModelAndItsSignal) {
  const auto findings = examine(options_, true);
  EXPECT_EQ(findings.at("base model").health, Health::Warning);  // a random model
  EXPECT_THAT(findings.at("base model").found, HasSubstr("pass@3 0 % and pass@1 0 % of 4 problems"));
  EXPECT_THAT(findings.at("signal").found, HasSubstr("0 of 4 groups"));
  // A reward that differs from answer to answer is a signal whatever the verdicts are.
  options_.reward.length = {.weight = 1, .shape = reward::LengthShape::SoftOverlong, .soft_limit = 1, .hard_limit = 30};
  const auto other = examine(options_, true);
  EXPECT_EQ(other.at("signal").health, Health::Ok) << other.at("signal").found;
}

TEST_F(Doctor, TheMachineComputesRight) {
  std::map<std::string, Finding> findings;
  examine_machine("versions", [&](const Finding& finding) { findings[finding.check] = finding; });
  EXPECT_EQ(findings.at("libraries").health, Health::Ok) << findings.at("libraries").found;
  EXPECT_TRUE(findings.contains("threads"));
}

}  // namespace
}  // namespace thinktune::train
