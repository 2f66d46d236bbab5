// Model folders, checkpoints and runs made to do harm: nothing outside of them is read, nothing hangs, nothing crashes.
#include <sys/stat.h>

#include <thread>

#include "program.h"
#include "support/manifest.h"

namespace thinktune::cli {
namespace {

class Hostile : public ProgramTest {
 protected:
  static std::string deep(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

  void edit_json(const fs::path& file, const std::function<void(json&)>& edit) {
    json content = json::parse(read_text(file));
    edit(content);
    write_text(file, content.dump());
  }

  // "{…}" → "{"extra": [[[…]]], …}", as text: a JSON library could not print it.
  static void add_deep_value(const fs::path& file, const std::string& name) {
    const std::string text = read_text(file);
    write_text(file, "{\"" + name + "\": " + deep(200'000) + ", " + text.substr(text.find('{') + 1));
  }
};

TEST_F(Hostile, ALinkToASecretIsNotCopiedIntoWhatIsWritten) {
  write_text(folder_.path() / "id_rsa", "the key");
  fs::create_symlink("../id_rsa", model_ / "LICENSE");
  expect_bad_file({(model_ / "LICENSE").string() + " is a link that leads out of its folder"});
  const fs::path out = folder_.path() / "out";
  expect_refused(run_program({"convert", model_.string(), out.string()}), {"leads out of its folder"}, kData);
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(Hostile, LinksInPlaceOfAnyFile) {
  const fs::path elsewhere = folder_.path() / "elsewhere";
  fs::create_directories(elsewhere);
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                           "tokenizer_config.json", "chat_template.jinja"}) {
    if (!fs::exists(model_ / name)) continue;
    fs::rename(model_ / name, elsewhere / name);
    fs::create_symlink(elsewhere / name, model_ / name);
    expect_bad_file({(model_ / name).string() + " is a link that leads out of its folder"});
    fs::remove(model_ / name);
    fs::rename(elsewhere / name, model_ / name);
  }
}

TEST_F(Hostile, APipeInPlaceOfAFileDoesNotHang) {
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                           "tokenizer_config.json", "LICENSE"}) {
    const fs::path kept = folder_.path() / "kept";
    if (fs::exists(model_ / name)) fs::rename(model_ / name, kept);
    ASSERT_EQ(::mkfifo((model_ / name).c_str(), 0600), 0);
    const Outcome outcome = train({}, {.time_limit = std::chrono::seconds(30)});
    expect_refused(outcome, {(model_ / name).string(), "is not a regular file"}, kData);
    fs::remove(model_ / name);
    if (fs::exists(kept)) fs::rename(kept, model_ / name);
  }
}

TEST_F(Hostile, APipeOrADeviceInPlaceOfWhatAConfigNames) {
  const fs::path pipe = folder_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const char* field : {"data.train_file", "data.heldout_file", "guidance.prompt_file", "chat_template"})
    for (const std::string& path : {pipe.string(), std::string("/dev/zero")}) {
      SCOPED_TRACE(field);
      expect_refused(train({"--set", std::string(field) + "=" + path}, {.time_limit = std::chrono::seconds(30)}),
                     {path, "is not a regular file"});
    }
}

TEST_F(Hostile, AConfigMayComeThroughAPipeAndHasAnEnd) {
  const fs::path pipe = folder_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&, text = read_text(config_)] { std::ofstream(pipe) << text; });
  const Outcome outcome = run_program({"train", "--config", pipe.string(), "--dry-run"}, {.folder = folder_.path()});
  const int unread = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);  // if nobody has opened it, the writer still waits
  writer.join();
  ::close(unread);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_refused(run_program({"train", "--config", "/dev/zero"}, {.folder = folder_.path()}),
                 {"the config /dev/zero has more than 268435456 bytes"}, kData);
}

TEST_F(Hostile, FilesOfATerabyteAreNotRead) {  // holes: they take no space on the disk
  for (const char* name : {"config.json", "tokenizer.json", "LICENSE"}) {
    const std::string before = fs::exists(model_ / name) ? read_text(model_ / name) : "";
    write_text(model_ / name, before);
    fs::resize_file(model_ / name, uint64_t{1} << 40);
    expect_refused(train(), {(model_ / name).string() + " has 1099511627776 bytes"},
                   kData);  // no snapshot: it reads all
    write_text(model_ / name, before);
  }
}

TEST_F(Hostile, DeeplyNestedJson) {
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    const std::string before = read_text(model_ / name);
    add_deep_value(model_ / name, "extra");
    expect_bad_file({(model_ / name).string(), "nested"});
    write_text(model_ / name, before);
  }
  const fs::path prompt = folder_.path() / "teacher.json";
  write_text(prompt, "{\"system\": " + deep(200'000) + "}");
  expect_bad_file({prompt.string() + ": nested deeper than 64 levels"},
                  {"--set", "guidance.prompt_file=" + prompt.string()});
  write_text(prompt, "{\"system\": 1e999}");
  expect_bad_file({prompt.string() + ": not valid JSON: a number is too large"},
                  {"--set", "guidance.prompt_file=" + prompt.string()});
}

TEST_F(Hostile, DeeplyNestedJsonInARunsFolder) {
  expect_success(train());
  const fs::path checkpoint = output_ / "checkpoints" / "step-2";
  for (const char* name : {"state.json", "manifest.json"}) {
    const std::string before = read_text(checkpoint / name);
    add_deep_value(checkpoint / name, "model");
    const Outcome outcome = train({"--resume", "--set", "steps=3"});
    SCOPED_TRACE(outcome.err);
    EXPECT_TRUE(outcome.exit_code == kUser || outcome.exit_code == kData) << outcome.exit_code;
    EXPECT_THAT(outcome.err, HasSubstr("there is no whole checkpoint to resume from"));
    write_text(checkpoint / name, before);
  }
  // Whoever makes a checkpoint also makes its manifest: one that is in order gets as far as what the state holds as
  // text.
  for (const char* field : {"config", "guard"}) {
    SCOPED_TRACE(field);
    const std::string before = read_text(checkpoint / "state.json"), manifest = read_text(checkpoint / "manifest.json");
    edit_json(checkpoint / "state.json", [&](json& state) {
      std::string value;
      for (size_t level = 0; level < 200'000; ++level) value += "{\"a\":";
      state[field] = value + "1" + std::string(200'000, '}');
    });
    test::list_anew(checkpoint, "state.json");
    expect_refused(train({"--resume=2", "--set", "steps=3"}),
                   {(checkpoint / "state.json").string() + ": " + field + ": nested deeper than 64 levels"}, kData);
    write_text(checkpoint / "state.json", before);
    write_text(checkpoint / "manifest.json", manifest);
  }
  write_text(output_ / "eval.jsonl", "{\"step\": 0, \"accuracy\": " + deep(200'000) + "}\n");
  expect_refused(run_program({"compare", output_.string()}), {"eval.jsonl:1: nested deeper than 64 levels"}, kData);
}

// What a run appends to is a file of its folder, or none.
TEST_F(Hostile, LinksInPlaceOfWhatARunWrites) {
  expect_success(train());
  const fs::path elsewhere = folder_.path() / "elsewhere";
  for (const char* name : {"lock", "log.txt", "metrics.jsonl", "eval.jsonl"}) {
    const std::string before = read_text(output_ / name);
    fs::rename(output_ / name, elsewhere);
    fs::create_symlink(elsewhere, output_ / name);
    expect_refused(train({"--resume", "--set", "steps=3", "--allow-changed"}),
                   {(output_ / name).string() + " is a link"});
    EXPECT_EQ(read_text(elsewhere), before);
    fs::remove(output_ / name);
    fs::rename(elsewhere, output_ / name);
  }
  expect_success(train({"--resume", "--set", "steps=3", "--allow-changed"}));
}

TEST_F(Hostile, ACheckpointWithNumbersThatCannotBe) {
  expect_success(train());
  const fs::path checkpoint = output_ / "checkpoints" / "step-2", state = checkpoint / "state.json";
  const std::string before = read_text(state);
  const auto refused = [&](const char* field, const json& value, const std::string& message) {
    SCOPED_TRACE(message);
    edit_json(state, [&](json& fields) { fields[field] = value; });
    test::list_anew(checkpoint, "state.json");
    expect_refused(train({"--resume=2", "--set", "steps=3"}), {state.string(), message}, kData);
    write_text(state, before);
  };
  refused("step", -1, "step is -1, not from 0 to");
  refused("step", 1, "step is 1, the folder's name says 2");
  refused("num_updates", -1, "num_updates is -1, not from 0 to");
  refused("num_updates", 1 << 25, "num_updates is 33554432, at most 16777216 are counted");
  refused("num_updates", 2.5, "num_updates is no integer");
  refused("data_position", UINT64_MAX, "data_position is 18446744073709551615, not from 0 to");
  refused("metrics_rows", -3, "metrics_rows is -3, not from 0 to");
  refused("evaluation_rows", nullptr, "evaluation_rows is no integer");
  refused("config", "[1]", "config holds no JSON object");
  refused("config", 7, "config is no text");
  refused("guard", "nonsense", "guard holds no JSON object");
  refused("versions", {{"thinktune", 1}}, "versions is no object of texts");
  test::list_anew(checkpoint, "state.json");
  expect_refused(train({"--resume=2"}), {"is finished: 2 of 2 steps are done"});
}

TEST_F(Hostile, ACheckpointThatNamesFilesElsewhere) {
  expect_success(train());
  const fs::path checkpoint = output_ / "checkpoints" / "step-2";
  fs::rename(checkpoint / "training_state.safetensors", folder_.path() / "elsewhere");
  fs::create_symlink(folder_.path() / "elsewhere", checkpoint / "training_state.safetensors");
  expect_refused(train({"--resume", "--set", "steps=3"}),
                 {"there is no whole checkpoint to resume from", "leads out of its folder"}, kData);
}

}  // namespace
}  // namespace thinktune::cli
