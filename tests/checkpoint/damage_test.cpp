// Checkpoints that cannot be read are passed over with a reason; those that cannot be written leave nothing behind.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "checkpoint/saved_run.h"
#include "src/checkpoint/manifest.h"
#include "support/errors.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"
#include "thinktune/weights/safetensors.h"

namespace thinktune::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::names_in;
using test::SavedRun;
using test::state_of;
using testing::ElementsAre;
using testing::HasSubstr;

void flip_byte(const fs::path& file, int64_t place) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekg(place);
  const int byte = bytes.get();
  bytes.seekp(place);
  bytes.put(static_cast<char>(byte ^ 1));
}

void write(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

// The manifest of the files as they are now.
void write_manifest_anew(const fs::path& folder) {
  fs::remove(folder / kManifestName);
  std::vector<core::WrittenFile> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(core::facts_of(entry.path(), "file"));
  write_manifest(folder, files);
}

// Its content is wrong from the start, not damaged later: the manifest agrees with it.
void write_with_manifest(const fs::path& file, const std::string& text) {
  write(file, text);
  write_manifest_anew(file.parent_path());
}

class DamageTest : public testing::Test {
 protected:
  DamageTest() {
    core::make_folder(folder_);
    save(folder_, state_of(3), run_.tensors, {.keep_last = 0});
    save(folder_, state_of(5), run_.tensors, {.keep_last = 0});
  }

  void expect_fallback(const std::string& reason) {
    std::vector<std::string> skipped;
    const auto found = find_newest(folder_, run_.config, skipped);
    ASSERT_TRUE(found) << reason;
    EXPECT_EQ(found->state.step, 3) << reason;
    ASSERT_EQ(skipped.size(), 1U) << reason;
    EXPECT_THAT(skipped[0], HasSubstr(newest_.string()));
    EXPECT_THAT(skipped[0], HasSubstr(reason));
  }

  thinktune::test::TempFolder temporary_;
  const fs::path folder_ = temporary_.path() / "checkpoints";
  const fs::path newest_ = folder_ / "step-5";
  const SavedRun run_{1};
};

TEST_F(DamageTest, ATruncatedTensorFile) {
  const fs::path file = newest_ / "training_state.safetensors";
  fs::resize_file(file, fs::file_size(file) - 1);
  expect_fallback("training_state.safetensors has");
}

TEST_F(DamageTest, AnEmptyTensorFile) {
  fs::resize_file(newest_ / "model.safetensors", 0);
  expect_fallback("model.safetensors has 0 bytes");
}

TEST_F(DamageTest, AFlippedByteAnywhere) {
  const fs::path file = newest_ / "training_state.safetensors";
  for (const int64_t place : {int64_t{0}, int64_t{40}, static_cast<int64_t>(fs::file_size(file)) / 2,
                              static_cast<int64_t>(fs::file_size(file)) - 1}) {
    flip_byte(file, place);
    expect_fallback("the checksum of training_state.safetensors is wrong");
    flip_byte(file, place);
  }
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "state.json"}) {
    flip_byte(newest_ / name, 5);
    expect_fallback(std::string("the checksum of ") + name);
    flip_byte(newest_ / name, 5);
  }
  EXPECT_NO_THROW(verify(newest_));
}

TEST_F(DamageTest, NoManifest) {
  fs::remove(newest_ / "manifest.json");
  expect_fallback("no manifest");
}

TEST_F(DamageTest, EachMissingFile) {
  for (const std::string& name : names_in(newest_)) {
    if (name == "manifest.json") continue;
    fs::rename(newest_ / name, temporary_.path() / "aside");
    expect_fallback(name + " is missing");
    fs::rename(temporary_.path() / "aside", newest_ / name);
  }
}

TEST_F(DamageTest, AFolderInPlaceOfAFile) {
  fs::remove(newest_ / "state.json");
  fs::create_directories(newest_ / "state.json");
  expect_fallback("state.json is missing");
}

// As root one may open it all the same.
TEST_F(DamageTest, AFileThatMayNotBeOpened) {
  const fs::path file = newest_ / "training_state.safetensors";
  fs::permissions(file, fs::perms::none);
  if (::access(file.c_str(), R_OK) == 0) GTEST_SKIP() << "this user may open any file";
  expect_fallback("cannot open the checkpoint's file");
  // It may be whole: what takes its place does not delete it.
  save(folder_, state_of(5), run_.tensors, {.keep_last = 0});
  EXPECT_TRUE(fs::exists(folder_ / "set-aside-1-of-step-5"));
}

// A link to itself stands for what a failing disk or a network's file system does.
TEST_F(DamageTest, AFileThatTheSystemRefuses) {
  const fs::path file = newest_ / "training_state.safetensors";
  fs::remove(file);
  fs::create_symlink(file.filename(), file);
  expect_fallback("cannot be read: Too many levels of symbolic links");
  save(folder_, state_of(5), run_.tensors, {.keep_last = 0});
  EXPECT_TRUE(fs::exists(folder_ / "set-aside-1-of-step-5"));
}

TEST_F(DamageTest, AManifestThatIsNone) {
  const std::string good = core::read_file(newest_ / "manifest.json", "manifest");
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("\xff\xfe\x00", 3), std::string("[]"), std::string("null"),
        std::string("{\"files\": {}}"), std::string(R"({"format": 2, "files": {}})"), std::string(R"({"format": 1})"),
        std::string(R"({"format": 1, "files": []})"), std::string(R"({"format": 1, "files": {"state.json": 5}})"),
        std::string(R"({"format": 1, "files": {"state.json": {"bytes": -1}}})"),
        std::string(R"({"format": 1, "files": {"../step-3/state.json": {"bytes": 1, "xxh3": "0"}}})"),
        R"({"format": 1, "files": {")" + std::string(300, 'a') + R"(": {"bytes": 1, "xxh3": "0"}}})",
        std::string(R"({"format": 1, "files": {"a\u001b[2J": {"bytes": 1, "xxh3": "0"}}})"),
        good.substr(0, good.size() / 2)}) {
    write(newest_ / "manifest.json", text);
    expect_fallback("manifest cannot be read");
  }
  nlohmann::json manifest = nlohmann::json::parse(good);
  manifest["files"]["state.json"].erase("xxh3");
  write(newest_ / "manifest.json", manifest.dump());
  expect_fallback("the checksum of state.json");
}

TEST_F(DamageTest, AManifestThatListsTooLittle) {
  const std::string good = core::read_file(newest_ / "manifest.json", "manifest");
  write(newest_ / "manifest.json", R"({"files": {}, "format": 1})");
  expect_fallback("its manifest does not list state.json");
  for (const char* name : {"state.json", "training_state.safetensors", "config.json", "model.safetensors"}) {
    nlohmann::json manifest = nlohmann::json::parse(good);
    manifest["files"].erase(name);
    write(newest_ / "manifest.json", manifest.dump());
    expect_fallback(std::string("its manifest does not list ") + name);
  }
}

TEST_F(DamageTest, FilesThatTheManifestDoesNotListAreNamed) {
  EXPECT_THAT(verify(newest_), testing::IsEmpty()) << "all that is saved is listed";
  write(newest_ / "notes.txt", "mine");
  write(newest_ / "added_tokens.json", "{}");
  write(newest_ / ".nfs0001", "left by a file system");
  EXPECT_THAT(verify(newest_), ElementsAre("added_tokens.json", "notes.txt"));
  std::vector<std::string> skipped;
  EXPECT_EQ(find_newest(folder_, run_.config, skipped)->state.step, 5);
}

TEST_F(DamageTest, AStateThatIsNone) {
  for (const char* text : {"", "{", "[]", "7", R"({"step": 5})"}) {
    write_with_manifest(newest_ / "state.json", text);
    expect_fallback("state.json cannot be read");
  }
  nlohmann::json state = nlohmann::json::parse(core::read_file(folder_ / "step-3" / "state.json", "state"));
  state["step"] = "five";
  write_with_manifest(newest_ / "state.json", state.dump());
  expect_fallback("state.json cannot be read: step is no integer");
  state["step"] = 3;
  write_with_manifest(newest_ / "state.json", state.dump());
  expect_fallback("step is 3, the folder's name says 5");
}

TEST_F(DamageTest, EachFieldOfTheStateIsMissed) {
  const nlohmann::json state = nlohmann::json::parse(core::read_file(newest_ / "state.json", "state"));
  for (const auto& [name, value] : state.items()) {
    nlohmann::json without = state;
    without.erase(name);
    write_with_manifest(newest_ / "state.json", without.dump());
    if (name == "initial_model_checksum" || name == "teacher_prompt_checksum") {  // checkpoints once had none
      std::vector<std::string> skipped;
      EXPECT_EQ(find_newest(folder_, run_.config, skipped)->state.step, 5) << name;
    } else {
      expect_fallback("state.json cannot be read: " + name + " is missing");
    }
  }
}

TEST_F(DamageTest, NoStateAtAll) {
  fs::remove(newest_ / "state.json");
  write_manifest_anew(newest_);
  expect_fallback("state.json");
}

TEST_F(DamageTest, AnotherModel) {
  model::ModelConfig wider = run_.config;
  wider.intermediate_size = 64;
  save(folder_, state_of(5), SavedRun(1, wider).tensors, {.keep_last = 0});
  expect_fallback("belongs to another model");
}

TEST_F(DamageTest, AllOfThem) {
  fs::remove(newest_ / "manifest.json");
  fs::resize_file(folder_ / "step-3" / "model.safetensors", 10);
  std::vector<std::string> skipped;
  EXPECT_FALSE(find_newest(folder_, run_.config, skipped));
  EXPECT_EQ(skipped.size(), 2U);
}

TEST_F(DamageTest, TensorsThatDoNotFitAreNamed) {
  SavedRun other(2);
  other.tensors.second_moments.push_back(at::zeros({2}));
  const auto message = [&] {
    return thinktune::test::message_of_error(core::ErrorKind::Data, [&] { load_tensors(newest_, other.tensors); });
  };
  EXPECT_THAT(message(), HasSubstr("second_moment.14 is missing"));
  other.tensors.second_moments.pop_back();
  other.tensors.first_moments[3] = at::zeros({3, 5});
  EXPECT_THAT(message(), HasSubstr("first_moment.3 has another shape"));
}

// A limit on the size of a file stands in for a full disk: write() fails half way.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(DamageTest, AFullDiskLeavesOlderCheckpointsAndNothingHalf) {
  const auto size = [&](const char* name) { return fs::file_size(newest_ / name); };
  ASSERT_LT(size("model.safetensors"), size("training_state.safetensors"));
  for (const rlim_t limit : {rlim_t{0}, size("model.safetensors") / 2, size("model.safetensors") + 100,
                             size("training_state.safetensors") - 1}) {
    const std::string message = thinktune::test::message_of_error(core::ErrorKind::User, [&] {
      const SmallDisk disk(limit);
      save(folder_, state_of(8), run_.tensors, {.keep_last = 1});
    });
    EXPECT_THAT(message, HasSubstr("File too large"));
    EXPECT_THAT(names_in(folder_), ElementsAre("step-3", "step-5")) << "limit " << limit;
    EXPECT_NO_THROW(verify(folder_ / "step-3"));
    EXPECT_NO_THROW(verify(newest_));
  }
  EXPECT_NO_THROW(save(folder_, state_of(8), run_.tensors, {.keep_last = 1}));
}

TEST_F(DamageTest, AFileInPlaceOfTheFolder) {
  write(temporary_.path() / "file", "text");
  for (const fs::path& folder : {temporary_.path() / "file", temporary_.path() / "file" / "below"}) {
    EXPECT_THAT(thinktune::test::message_of_error(core::ErrorKind::User,
                                                  [&] { save(folder, state_of(1), run_.tensors, {.keep_last = 1}); }),
                HasSubstr("cannot make the folder"));
  }
  EXPECT_EQ(core::read_file(temporary_.path() / "file", "file"), "text");
}

TEST_F(DamageTest, AFileInPlaceOfTheCheckpointIsReplaced) {
  write(folder_ / "step-8", "not a folder");
  EXPECT_NO_THROW(verify(save(folder_, state_of(8), run_.tensors, {.keep_last = 0})));
}

}  // namespace
}  // namespace thinktune::checkpoint
