// Folders in the layout of Hugging Face: one file, or shards with an index.
#include <gmock/gmock.h>

#include "support/paths.h"
#include "thinktune/weights/safetensors.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class SafetensorsFolder : public testing::Test {
 protected:
  // A shard with scalars of these names; each value is its place.
  void write_shard(const std::string& file, const std::vector<std::string>& names) {
    std::vector<float> values(names.size());
    std::vector<TensorToWrite> tensors;
    for (size_t i = 0; i < names.size(); ++i) {
      values[i] = static_cast<float>(i + 1);
      tensors.push_back({names[i], DType::F32, {1}, &values[i]});
    }
    write_safetensors(folder_.path() / file, tensors);
  }
  void write_index(const std::string& text) { test::write_bytes(index_, text); }
  void write_weight_map(const nlohmann::json& weight_map) {
    write_index(nlohmann::json{{"weight_map", weight_map}}.dump());
  }
  std::string refusal() {
    return test::message_of_error(core::ErrorKind::Data, [&] { open_safetensors_folder(folder_.path()); });
  }

  test::TempFolder folder_;
  fs::path index_ = folder_.path() / "model.safetensors.index.json";
};

TEST_F(SafetensorsFolder, OneFile) {
  write_shard("model.safetensors", {"a", "b"});
  const auto source = open_safetensors_folder(folder_.path());
  EXPECT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->where(), (folder_.path() / "model.safetensors").string());
}

TEST_F(SafetensorsFolder, OneFileGoesBeforeAnIndex) {
  write_shard("model.safetensors", {"a"});
  write_index("not even JSON");
  EXPECT_EQ(open_safetensors_folder(folder_.path())->tensors().size(), 1u);
}

TEST_F(SafetensorsFolder, ShardsInTheOrderOfTheirNames) {
  write_shard("m-2.safetensors", {"c", "a"});
  write_shard("m-1.safetensors", {"b"});
  write_weight_map({{"a", "m-2.safetensors"}, {"b", "m-1.safetensors"}, {"c", "m-2.safetensors"}});
  const auto source = open_safetensors_folder(folder_.path());
  std::vector<std::string> names;
  std::vector<float> values;
  for (const TensorInfo& tensor : source->tensors()) {
    names.push_back(tensor.name);
    to_float(tensor, &values.emplace_back());
  }
  EXPECT_THAT(names, ElementsAre("b", "c", "a"));
  EXPECT_THAT(values, ElementsAre(1.0f, 1.0f, 2.0f));
  EXPECT_EQ(source->where(), folder_.path().string());
}

TEST_F(SafetensorsFolder, ShardsThroughSymbolicLinks) {  // a Hugging Face cache is full of them
  write_shard("blob", {"a"});
  fs::create_symlink(folder_.path() / "blob", folder_.path() / "m-1.safetensors");
  write_weight_map({{"a", "m-1.safetensors"}});
  EXPECT_EQ(open_safetensors_folder(folder_.path())->tensors().size(), 1u);
}

TEST_F(SafetensorsFolder, NeitherFileNorIndex) {
  EXPECT_THAT(refusal(), HasSubstr("holds neither model.safetensors nor model.safetensors.index.json"));
}
TEST_F(SafetensorsFolder, OnlyPickles) {
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth", "model.ckpt"}) {
    test::write_bytes(folder_.path() / name, "PK");
    EXPECT_THAT(refusal(),
                AllOf(HasSubstr(std::string("holds neither model.safetensors nor ")),
                      HasSubstr("but '" + std::string(name) + "'"), HasSubstr("pickles run code when they are read"),
                      HasSubstr("safe_serialization=True")));
    fs::remove(folder_.path() / name);
  }
}
TEST_F(SafetensorsFolder, OnlyAGguf) {
  test::write_bytes(folder_.path() / "model.Q8_0.gguf", "GGUF");
  EXPECT_THAT(refusal(), HasSubstr("give the GGUF file itself: " + (folder_.path() / "model.Q8_0.gguf").string()));
}
TEST_F(SafetensorsFolder, MissingFolder) {
  EXPECT_THAT(
      test::message_of_error(core::ErrorKind::Data, [&] { open_safetensors_folder(folder_.path() / "missing"); }),
      HasSubstr("missing"));
}
TEST_F(SafetensorsFolder, EmptyIndexFile) {
  write_index(std::string());
  EXPECT_THAT(refusal(), HasSubstr("malformed JSON"));
}
TEST_F(SafetensorsFolder, IndexThatIsNoJson) {
  write_index("{\"weight_map\": {");
  EXPECT_THAT(refusal(), HasSubstr("malformed JSON"));
}
TEST_F(SafetensorsFolder, IndexThatIsAList) {
  write_index("[]");
  EXPECT_THAT(refusal(), HasSubstr("not a JSON object"));
}
TEST_F(SafetensorsFolder, IndexNestedDeeply) {
  write_index("{\"weight_map\":" + std::string(2'000'000, '['));
  EXPECT_THAT(refusal(), HasSubstr("nested deeper"));
}
TEST_F(SafetensorsFolder, HugeIndex) {
  write_index("{\"weight_map\": {");
  fs::resize_file(index_, 100'000'001);  // a hole
  EXPECT_THAT(refusal(), HasSubstr("100000001 bytes are no index"));
}
TEST_F(SafetensorsFolder, IndexThatIsNotUtf8) {
  write_index("{\"weight_map\": {\"\xff\": \"m-1.safetensors\"}}");
  EXPECT_THAT(refusal(), HasSubstr("malformed JSON (not UTF-8 at byte 17)"));
}
TEST_F(SafetensorsFolder, IndexThatIsAFolder) {
  fs::create_directory(index_);
  EXPECT_THAT(refusal(), HasSubstr("is not a regular file"));
}
TEST_F(SafetensorsFolder, IndexThatNamesItself) {
  write_weight_map({{"a", "model.safetensors.index.json"}});
  EXPECT_THAT(refusal(), HasSubstr("the shard 'model.safetensors.index.json' of tensor 'a' is no .safetensors file"));
}
TEST_F(SafetensorsFolder, ShardThatIsALinkToItself) {
  fs::create_symlink(folder_.path() / "m-1.safetensors", folder_.path() / "m-1.safetensors");
  write_weight_map({{"a", "m-1.safetensors"}});
  EXPECT_THAT(refusal(), HasSubstr("the shard m-1.safetensors is not there"));
}
TEST_F(SafetensorsFolder, ShardThatIsAPickle) {
  write_weight_map({{"a", "pytorch_model-00001-of-00002.bin"}});
  EXPECT_THAT(refusal(), HasSubstr("is no .safetensors file"));
}
TEST_F(SafetensorsFolder, IndexWithoutAWeightMap) {
  write_index("{\"metadata\": {}}");
  EXPECT_THAT(refusal(), HasSubstr("no weight_map"));
}
TEST_F(SafetensorsFolder, IndexWithAnEmptyWeightMap) {
  write_index("{\"weight_map\": {}}");
  EXPECT_THAT(refusal(), HasSubstr("no weight_map with tensors"));
}
TEST_F(SafetensorsFolder, IndexWithATensorTwice) {
  write_index("{\"weight_map\": {\"a\": \"m-1.safetensors\", \"a\": \"m-2.safetensors\"}}");
  EXPECT_THAT(refusal(), HasSubstr("'a' is there twice"));
}
TEST_F(SafetensorsFolder, ShardThatIsANumber) {
  write_index("{\"weight_map\": {\"a\": 1}}");
  EXPECT_THAT(refusal(), HasSubstr("the shard of tensor 'a' is not a text"));
}
TEST_F(SafetensorsFolder, ShardNamesThatLeaveTheFolder) {
  for (const char* name :
       {"../m.safetensors", "/etc/m.safetensors", "sub/m.safetensors", "..", ".", "", "a\\..\\m", "..\\m"}) {
    write_weight_map({{"a", name}});
    EXPECT_THAT(refusal(), HasSubstr("is not a file name in this folder")) << name;
  }
}
TEST_F(SafetensorsFolder, ShardNameWithAZeroByte) {
  write_weight_map({{"a", std::string("m\0x", 3)}});
  EXPECT_THAT(refusal(), HasSubstr("is not a file name in this folder"));
}
TEST_F(SafetensorsFolder, MissingShard) {
  write_shard("m-1.safetensors", {"a"});
  write_weight_map({{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}});
  EXPECT_THAT(refusal(), HasSubstr("the shard m-2.safetensors is not there"));
}
TEST_F(SafetensorsFolder, ShardThatLacksATensor) {
  write_shard("m-1.safetensors", {"a"});
  write_weight_map({{"a", "m-1.safetensors"}, {"b", "m-1.safetensors"}});
  EXPECT_THAT(refusal(), HasSubstr("the shard m-1.safetensors lacks the tensor 'b'"));
}
TEST_F(SafetensorsFolder, TensorInAnotherShardThanPromised) {
  write_shard("m-1.safetensors", {"a", "b"});
  write_shard("m-2.safetensors", {"c"});
  write_weight_map({{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}, {"c", "m-2.safetensors"}});
  EXPECT_THAT(refusal(), HasSubstr("the shard m-2.safetensors lacks the tensor 'b'"));
}
TEST_F(SafetensorsFolder, TensorInTwoShards) {
  write_shard("m-1.safetensors", {"a", "b"});
  write_shard("m-2.safetensors", {"b"});
  write_weight_map({{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}});
  EXPECT_THAT(refusal(), HasSubstr("the tensor 'b' is both in m-1.safetensors and in m-2.safetensors"));
}
TEST_F(SafetensorsFolder, DamagedShard) {
  test::write_bytes(folder_.path() / "m-1.safetensors", "short");
  write_weight_map({{"a", "m-1.safetensors"}});
  EXPECT_THAT(refusal(), HasSubstr("m-1.safetensors: 5 bytes are no safetensors file"));
}

}  // namespace
}  // namespace thinktune::weights
