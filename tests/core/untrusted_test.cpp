#include "thinktune/core/untrusted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace thinktune::core {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class InnerFile : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    write(root_.path() / "secret", "x");
  }
  static void write(const fs::path& file, const std::string& text) { std::ofstream(file) << text; }
  std::string refusal(std::string_view name, uint64_t max_bytes = UINT64_MAX) {
    return test::message_of_error(ErrorKind::Data, [&] { inner_file(folder_, name, max_bytes); });
  }

  test::TempFolder root_;
  fs::path folder_ = root_.path() / "model";
};

TEST_F(InnerFile, AFileOfTheFolderAndOneThatIsNotThere) {
  write(folder_ / "config.json", "{}");
  EXPECT_EQ(inner_file(folder_, "config.json"), folder_ / "config.json");
  EXPECT_EQ(inner_file(folder_, "nothing"), folder_ / "nothing");
  fs::create_symlink("/nowhere/at/all", folder_ / "dangling");
  EXPECT_EQ(inner_file(folder_, "dangling"), folder_ / "dangling");
}

TEST_F(InnerFile, NamesThatLeadElsewhere) {
  const std::string with_zero("a\0b", 3);
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string("../secret"),
                                  std::string("/etc/passwd"), std::string("a/b"), std::string("a\\b"), with_zero})
    EXPECT_THAT(refusal(name), HasSubstr("is no name of a file in this folder")) << name;
}

TEST_F(InnerFile, LinksThatLeadOut) {
  for (const fs::path& target : {root_.path() / "secret", fs::path("../secret"), fs::path("/etc/passwd")}) {
    fs::create_symlink(target, folder_ / "tokenizer.json");
    EXPECT_THAT(refusal("tokenizer.json"), HasSubstr("is a link that leads out of its folder"));
    fs::remove(folder_ / "tokenizer.json");
  }
  // A folder whose name begins like this one's is another folder.
  fs::create_directories(root_.path() / "model2");
  write(root_.path() / "model2" / "x", "x");
  fs::create_symlink("../model2/x", folder_ / "x");
  EXPECT_THAT(refusal("x"), HasSubstr("leads out of its folder"));
}

TEST_F(InnerFile, LinksWithinTheFolderAndToIt) {
  write(folder_ / "real", "x");
  fs::create_symlink("real", folder_ / "name");
  EXPECT_EQ(inner_file(folder_, "name"), folder_ / "name");
  fs::create_symlink(folder_, root_.path() / "link");  // the user's own word
  EXPECT_EQ(inner_file(root_.path() / "link", "name"), root_.path() / "link" / "name");
}

TEST_F(InnerFile, TheHubsCache) {
  const fs::path hub = root_.path() / "models--a--b", revision = hub / "snapshots" / "0123";
  fs::create_directories(hub / "blobs");
  fs::create_directories(revision);
  write(hub / "blobs" / "abc", "x");
  fs::create_symlink("../../blobs/abc", revision / "config.json");
  EXPECT_EQ(inner_file(revision, "config.json"), revision / "config.json");
  fs::create_symlink("../../../secret", revision / "tokenizer.json");
  EXPECT_THAT(test::message_of_error(ErrorKind::Data, [&] { inner_file(revision, "tokenizer.json"); }),
              HasSubstr("leads out of its folder"));
  fs::create_directories(hub / "other");
  fs::create_symlink("../blobs/abc", hub / "other" / "config.json");  // blobs belong to snapshots alone
  EXPECT_THAT(test::message_of_error(ErrorKind::Data, [&] { inner_file(hub / "other", "config.json"); }),
              HasSubstr("leads out of its folder"));
}

TEST_F(InnerFile, WhatIsNoFile) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_directory(folder_ / "folder");
  for (const char* name : {"pipe", "folder"}) EXPECT_THAT(refusal(name), HasSubstr("is not a regular file"));
  fs::create_symlink("/dev/zero", folder_ / "endless");
  EXPECT_THAT(refusal("endless"), HasSubstr("is not a regular file"));
}

TEST_F(InnerFile, LargerThanWhatIsRead) {
  write(folder_ / "tokenizer.json", "{}");
  EXPECT_NO_THROW(inner_file(folder_, "tokenizer.json", 2));
  fs::resize_file(folder_ / "tokenizer.json", uint64_t{1} << 40);  // a hole
  EXPECT_THAT(refusal("tokenizer.json", kMaxSideFileBytes), HasSubstr("has 1099511627776 bytes; at most 268435456"));
}

TEST_F(InnerFile, ARunWritesToRegularFilesOnly) {
  EXPECT_NO_THROW(check_own_file(folder_ / "none"));
  write(folder_ / "metrics.jsonl", "");
  EXPECT_NO_THROW(check_own_file(folder_ / "metrics.jsonl"));
  const auto refusal_of = [&](const char* name) {
    return test::message_of_error(ErrorKind::User, [&] { check_own_file(folder_ / name); });
  };
  fs::create_symlink("metrics.jsonl", folder_ / "link");
  fs::create_symlink("gone", folder_ / "dangling");
  for (const char* name : {"link", "dangling"}) EXPECT_THAT(refusal_of(name), HasSubstr("is a link, and would be"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal_of("pipe"), HasSubstr("pipe is not a regular file"));
}

TEST(JsonDepth, CountsBracketsOutsideOfTexts) {
  EXPECT_FALSE(is_nested_deeper("[[{}]]", 3));
  EXPECT_TRUE(is_nested_deeper("[[{}]]", 2));
  EXPECT_FALSE(is_nested_deeper(R"(["[[[\"[[", {}])", 2));
  EXPECT_FALSE(is_nested_deeper("[],[],[]", 1));
  EXPECT_FALSE(is_nested_deeper("\"\\", 1));
  EXPECT_NO_THROW(check_json_depth(std::string(64, '['), "x"));
  EXPECT_THAT(test::message_of_error(ErrorKind::Data, [] { check_json_depth(std::string(65, '['), "x.json"); }),
              HasSubstr("x.json: nested deeper than 64 levels"));
}

}  // namespace
}  // namespace thinktune::core
