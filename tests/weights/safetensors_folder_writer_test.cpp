// write_safetensors_folder: which file holds what, and what an earlier save or a failure leaves behind.
#include <gmock/gmock.h>

#include "support/paths.h"
#include "thinktune/weights/safetensors.h"
#include "weights/file_size_limit.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";

class SafetensorsFolderWriter : public testing::Test {
 protected:
  // Tensors "t0", "t1", … with these numbers of floats, all of one value.
  void save(const std::vector<int64_t>& sizes, uint64_t max_shard_bytes, float value = 1.0f) {
    const std::vector<float> data(1000, value);
    std::vector<TensorToWrite> tensors;
    for (size_t i = 0; i < sizes.size(); ++i)
      tensors.push_back({"t" + std::to_string(i), DType::F32, {sizes[i]}, data.data()});
    write_safetensors_folder(folder_.path(), tensors, {{"format", "pt"}}, max_shard_bytes);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename().string());
    return names;
  }
  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> result;
    for (const std::string& name : files()) result[name] = test::read_bytes(folder_.path() / name);
    return result;
  }
  void expect_values(size_t num_tensors, float value) {
    const auto source = open_safetensors_folder(folder_.path());
    ASSERT_EQ(source->tensors().size(), num_tensors);
    for (size_t i = 0; i < num_tensors; ++i) {
      const TensorInfo* tensor = source->find("t" + std::to_string(i));
      ASSERT_NE(tensor, nullptr) << i;
      std::vector<float> values(tensor->num_elements());
      to_float(*tensor, values.data());
      EXPECT_THAT(values, testing::Each(value)) << i;
    }
  }

  test::TempFolder folder_;
};

TEST_F(SafetensorsFolderWriter, OneFileIfItFits) {
  save({10, 20}, 120);
  EXPECT_THAT(files(), ElementsAre("model.safetensors"));
  expect_values(2, 1.0f);
  EXPECT_EQ(Safetensors(folder_.path() / "model.safetensors").metadata().at("format"), "pt");
}

TEST_F(SafetensorsFolderWriter, NoTensorsAreOneEmptyFile) {
  save({}, 120);
  EXPECT_THAT(files(), ElementsAre("model.safetensors"));
}

TEST_F(SafetensorsFolderWriter, ShardsInTheOrderGivenAndAnIndex) {
  save({10, 20, 1, 100, 5, 0, 25}, 120);  // 40 + 80 | 4 | 400, too large for any | 20 + 0 + 100
  EXPECT_THAT(files(),
              UnorderedElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                                   "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors", kIndex));
  const std::string index = test::read_bytes(folder_.path() / kIndex);
  EXPECT_EQ(index,
            "{\n  \"metadata\": {\n    \"total_size\": 644\n  },\n  \"weight_map\": {\n"
            "    \"t0\": \"model-00001-of-00004.safetensors\",\n"
            "    \"t1\": \"model-00001-of-00004.safetensors\",\n"
            "    \"t2\": \"model-00002-of-00004.safetensors\",\n"
            "    \"t3\": \"model-00003-of-00004.safetensors\",\n"
            "    \"t4\": \"model-00004-of-00004.safetensors\",\n"
            "    \"t5\": \"model-00004-of-00004.safetensors\",\n"
            "    \"t6\": \"model-00004-of-00004.safetensors\"\n  }\n}\n");
  EXPECT_EQ(nlohmann::json::parse(index)["metadata"]["total_size"], 644);
  expect_values(7, 1.0f);
  for (int i = 1; i <= 4; ++i)
    EXPECT_EQ(Safetensors(folder_.path() / fmt::format("model-0000{}-of-00004.safetensors", i)).metadata().at("format"),
              "pt");
}

TEST_F(SafetensorsFolderWriter, TheSameTensorsGiveTheSameBytes) {
  save({10, 20, 30}, 100);
  const auto first = contents();
  save({10, 20, 30}, 100);
  EXPECT_EQ(contents(), first);
}

TEST_F(SafetensorsFolderWriter, WhatAnEarlierSaveLeftIsReplaced) {
  const std::vector<std::pair<std::vector<int64_t>, size_t>> saves = {
      // sizes -> number of files with 100 bytes a shard
      {{10, 20, 30, 5, 25}, 6}, {{10, 20}, 3}, {{10}, 1}, {{10, 20}, 3}, {{10, 20, 30}, 4}, {{25, 24}, 3}, {{3, 4}, 1}};
  test::write_bytes(folder_.path() / "config.json", "{}");
  test::write_bytes(folder_.path() / "other-00001-of-00009.safetensors", "not ours");
  float value = 1.0f;
  for (const auto& [sizes, num_files] : saves) {
    save(sizes, 100, ++value);
    EXPECT_EQ(files().size(), num_files + 2) << value;
    expect_values(sizes.size(), value);
  }
  EXPECT_EQ(test::read_bytes(folder_.path() / "other-00001-of-00009.safetensors"), "not ours");
}

TEST_F(SafetensorsFolderWriter, AFullDiskLeavesTheEarlierSaveAndNothingElse) {
  const std::vector<std::vector<int64_t>> earlier = {{10}, {10, 20}, {10, 20, 30}};
  for (const auto& sizes : earlier) {
    save(sizes, 100, 7.0f);
    const auto before = contents();
    for (const rlim_t limit : {0, 100, 500, 3000}) {  // 3000: all shards but the last fit
      const test::FileSizeLimit full_disk(limit);
      test::message_of_error(core::ErrorKind::User, [&] { save({10, 20, 30, 900}, 100, 8.0f); });
      EXPECT_EQ(contents(), before) << limit;
    }
  }
}

TEST_F(SafetensorsFolderWriter, ACallbackThatThrowsLeavesTheEarlierSaveAndNothingElse) {
  save({10, 20}, 100, 7.0f);
  const auto before = contents();
  const std::vector<float> data(100);
  const auto broken = [](std::byte*) { throw core::data_error("gathering failed"); };
  test::message_of_error(core::ErrorKind::Data, [&] {
    write_safetensors_folder(
        folder_.path(), {{"a", DType::F32, {100}, data.data()}, {"b", DType::F32, {100}, nullptr, broken}}, {}, 100);
  });
  EXPECT_EQ(contents(), before);
}

TEST_F(SafetensorsFolderWriter, MissingFolderIsTheUsersError) {
  EXPECT_THAT(
      test::message_of_error(core::ErrorKind::User, [&] { write_safetensors_folder(folder_.path() / "missing", {}); }),
      HasSubstr("missing"));
}

TEST_F(SafetensorsFolderWriter, RefusesWhatNoCallerMayAsk) {
  const float value = 1.0f;
  const auto refuse = [&](const std::vector<TensorToWrite>& tensors, uint64_t max_shard_bytes) {
    return test::message_of_error(core::ErrorKind::Internal,
                                  [&] { write_safetensors_folder(folder_.path(), tensors, {}, max_shard_bytes); });
  };
  EXPECT_THAT(refuse({}, 0), HasSubstr("shards of 0 bytes"));
  EXPECT_THAT(refuse({{"a", DType::F32, {1}, &value}, {"a", DType::F32, {1}, &value}}, 4), HasSubstr("written twice"));
  EXPECT_THAT(files(), IsEmpty());
}

}  // namespace
}  // namespace thinktune::weights
