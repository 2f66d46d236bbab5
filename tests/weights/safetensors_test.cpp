// One file: what is read, and what is written.
#include "thinktune/weights/safetensors.h"

#include <gmock/gmock.h>

#include <limits>

#include "support/paths.h"
#include "weights/file_size_limit.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

std::string content_of(const TensorInfo& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()};
}

std::vector<std::string> names_of(const TensorSource& source) {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : source.tensors()) names.push_back(tensor.name);
  return names;
}

class SafetensorsTest : public testing::Test {
 protected:
  std::vector<std::string> files_in_folder() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename().string());
    return names;
  }
  test::TempFolder folder_;
  fs::path path_ = folder_.path() / "model.safetensors";
};

TEST_F(SafetensorsTest, ReadsAFileInTheOrderOfItsData) {
  const std::string data = test::random_bytes(8 + 6 + 4, 1);
  test::write_bytes(path_, test::safetensors_bytes(R"({"a":{"dtype":"BF16","shape":[3,1],"data_offsets":[8,14]},)"
                                                   R"("__metadata__":{"format":"pt"},)"
                                                   R"("z":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                                   R"("none":{"dtype":"F16","shape":[2,0],"data_offsets":[14,14]},)"
                                                   R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[14,18]}}   )",
                                                   data));
  const Safetensors source(path_);
  EXPECT_THAT(names_of(source), ElementsAre("z", "a", "none", "scalar"));
  EXPECT_EQ(source.find("a")->dtype, DType::BF16);
  EXPECT_THAT(source.find("a")->shape, ElementsAre(3, 1));
  EXPECT_THAT(source.find("none")->shape, ElementsAre(2, 0));
  EXPECT_THAT(source.find("scalar")->shape, IsEmpty());
  EXPECT_EQ(content_of(*source.find("z")), data.substr(0, 8));
  EXPECT_EQ(content_of(*source.find("a")), data.substr(8, 6));
  EXPECT_EQ(content_of(*source.find("scalar")), data.substr(14));
  EXPECT_EQ(source.find("absent"), nullptr);
  EXPECT_EQ(source.metadata().at("format"), "pt");
  EXPECT_EQ(source.where(), path_.string());
  test::read_all(source);
}

TEST_F(SafetensorsTest, ReadsAFileWithoutTensors) {
  test::write_bytes(path_, test::safetensors_bytes("{}", ""));
  EXPECT_THAT(Safetensors(path_).tensors(), IsEmpty());
}

TEST_F(SafetensorsTest, RoundTripOfEveryType) {
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
    const std::string data = test::random_bytes(bytes_of(dtype, 7 * 11), 1);
    const std::string one = test::random_bytes(bytes_of(dtype, 1), 2);
    write_safetensors(
        path_, {{"w", dtype, {7, 11}, data.data()}, {"empty", dtype, {0, 3}, nullptr}, {"b", dtype, {}, one.data()}},
        {{"step", "12"}, {"quote", "a \"b\" \\ \n"}});
    const Safetensors source(path_);
    EXPECT_THAT(names_of(source), ElementsAre("w", "empty", "b"));
    EXPECT_EQ(source.find("w")->dtype, dtype);
    EXPECT_THAT(source.find("w")->shape, ElementsAre(7, 11));
    EXPECT_EQ(content_of(*source.find("w")), data);
    EXPECT_EQ(content_of(*source.find("b")), one);
    EXPECT_THAT(source.metadata(), ElementsAre(testing::Pair("quote", "a \"b\" \\ \n"), testing::Pair("step", "12")));
  }
}

TEST_F(SafetensorsTest, HeaderAndTensorsAreAlignedWhateverTheMixture) {
  const std::string data = test::random_bytes(64, 1);
  write_safetensors(path_, {{"odd", DType::BF16, {3}, data.data()},
                            {"float", DType::F32, {5}, data.data()},
                            {"half", DType::F16, {1}, data.data()},
                            {"float2", DType::F32, {1}, data.data()}});
  const std::string bytes = test::read_bytes(path_);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  EXPECT_EQ(header_bytes % 8, 0u);
  const std::string header = bytes.substr(8, header_bytes);
  EXPECT_EQ(header.find_last_not_of(' '), header.rfind('}'));
  const Safetensors source(path_);
  EXPECT_THAT(names_of(source), ElementsAre("float", "float2", "odd", "half"));
  for (const TensorInfo& tensor : source.tensors())
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes.data()) % bytes_of(tensor.dtype, 1), 0u) << tensor.name;
}

TEST_F(SafetensorsTest, TheSameTensorsGiveTheSameBytes) {
  const float value = 1.0f;
  write_safetensors(path_, {{"b", DType::F32, {1}, &value}}, {{"k", "v"}});
  const std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )";
  EXPECT_EQ(test::read_bytes(path_), test::safetensors_bytes(header, test::bytes_of_value(1.0f)));
  write_safetensors(path_, {});
  EXPECT_EQ(test::read_bytes(path_), test::safetensors_bytes("{}      ", ""));
}

TEST_F(SafetensorsTest, CallbacksAreAskedOnceAndInTheOrderOfTheFile) {
  std::vector<std::string> asked;
  const auto tensor = [&](const std::string& name, DType dtype, char content) {
    return TensorToWrite{name, dtype, {3}, nullptr, [&asked, name, dtype, content](std::byte* out) {
                           asked.push_back(name);
                           std::memset(out, content, bytes_of(dtype, 3));
                         }};
  };
  write_safetensors(path_, {tensor("half", DType::BF16, 'h'), tensor("full", DType::F32, 'f')});
  EXPECT_THAT(asked, ElementsAre("full", "half"));
  const Safetensors source(path_);
  EXPECT_EQ(content_of(*source.find("full")), std::string(12, 'f'));
  EXPECT_EQ(content_of(*source.find("half")), std::string(6, 'h'));
}

TEST_F(SafetensorsTest, ACallbackThatThrowsLeavesTheOldFileAndNothingElse) {
  const float value = 3.0f;
  write_safetensors(path_, {{"old", DType::F32, {1}, &value}});
  const std::string old_bytes = test::read_bytes(path_);
  const auto broken = [](std::byte*) { throw core::data_error("gathering failed"); };
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data,
                                     [&] {
                                       write_safetensors(path_, {{"a", DType::F32, {1}, nullptr, broken}});
                                     }),
              HasSubstr("gathering failed"));
  EXPECT_EQ(test::read_bytes(path_), old_bytes);
  EXPECT_THAT(files_in_folder(), ElementsAre("model.safetensors"));
}

TEST_F(SafetensorsTest, NamesInUtf8AndWithQuotesSurvive) {
  const float value = 2.0f;
  const std::string name = "l\xc3\xa4yer.\"0\".\\w";
  write_safetensors(path_, {{name, DType::F32, {1}, &value}});
  EXPECT_NE(Safetensors(path_).find(name), nullptr);
}

TEST_F(SafetensorsTest, RefusesToWriteWhatNoCallerMayAsk) {
  const std::string data(64, '\0');
  const auto refuse = [&](const std::vector<TensorToWrite>& tensors) {
    return test::message_of_error(core::ErrorKind::Internal, [&] { write_safetensors(path_, tensors); });
  };
  EXPECT_THAT(refuse({{"", DType::F32, {1}, data.data()}}), HasSubstr("cannot be the name"));
  EXPECT_THAT(refuse({{"__metadata__", DType::F32, {1}, data.data()}}), HasSubstr("cannot be the name"));
  EXPECT_THAT(refuse({{"a\nb", DType::F32, {1}, data.data()}}), HasSubstr("cannot be the name"));
  EXPECT_THAT(refuse({{std::string("a\0b", 3), DType::F32, {1}, data.data()}}), HasSubstr("cannot be the name"));
  EXPECT_THAT(refuse({{"a", DType::F32, {1}, data.data()}, {"a", DType::F32, {1}, data.data()}}),
              HasSubstr("'a' is to be written twice"));
  EXPECT_THAT(refuse({{"a", DType::Q8_0, {32}, data.data()}}), HasSubstr("Q8_0 cannot be written"));
  EXPECT_THAT(refuse({{"a", DType::F32, {-1}, data.data()}}), HasSubstr("shape [-1]"));
  EXPECT_THAT(refuse({{"a", DType::F32, {int64_t{1} << 62}, data.data()}}), HasSubstr("overflows"));
  EXPECT_THAT(refuse({{"a", DType::F32, {1}, nullptr}}), HasSubstr("no data"));
  EXPECT_THAT(refuse({{"a", DType::Q4_K, {256}, data.data()}}), HasSubstr("Q4_K cannot be written"));
  EXPECT_THAT(files_in_folder(), IsEmpty());
}

TEST_F(SafetensorsTest, RefusesToWriteWhatIsNotUtf8) {
  const float value = 0.0f;
  const auto refuse = [&](const std::string& name, const std::map<std::string, std::string>& metadata) {
    return test::message_of_error(core::ErrorKind::User, [&] {
      write_safetensors(path_, {{name, DType::F32, {1}, &value}}, metadata);
    });
  };
  EXPECT_THAT(refuse("a\xff", {}), HasSubstr("tensor name 'a\\xff' is not UTF-8"));
  EXPECT_THAT(refuse("a", {{"k", "\xff"}}), HasSubstr("metadata value"));
  EXPECT_THAT(refuse("a", {{"\xff", "v"}}), HasSubstr("metadata key"));
  EXPECT_THAT(files_in_folder(), IsEmpty());
}

TEST_F(SafetensorsTest, WritingIntoAMissingFolderIsTheUsersError) {
  const float value = 0.0f;
  const fs::path nowhere = folder_.path() / "missing" / "model.safetensors";
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User,
                                     [&] {
                                       write_safetensors(nowhere, {{"a", DType::F32, {1}, &value}});
                                     }),
              HasSubstr(nowhere.string()));
}

TEST_F(SafetensorsTest, AFullDiskLeavesTheOldFileAndNothingElse) {
  const float value = 3.0f;
  write_safetensors(path_, {{"old", DType::F32, {1}, &value}});
  const std::string old_bytes = test::read_bytes(path_);
  const std::string data(100'000, 'x');
  for (const rlim_t limit :
       {0, 4, 40, 4096, 99'999}) {  // in the length, in the header, in the first tensor, in the second
    const test::FileSizeLimit full_disk(limit);
    test::message_of_error(core::ErrorKind::User, [&] {
      write_safetensors(path_, {{"a", DType::F32, {12'500}, data.data()}, {"b", DType::F32, {12'500}, data.data()}});
    });
    EXPECT_EQ(test::read_bytes(path_), old_bytes) << limit;
    EXPECT_THAT(files_in_folder(), ElementsAre("model.safetensors")) << limit;
  }
}

TEST_F(SafetensorsTest, AFullDiskLeavesNothingWhereNothingWas) {
  const std::string data(100'000, 'x');
  const test::FileSizeLimit full_disk(4096);
  test::message_of_error(core::ErrorKind::User, [&] {
    write_safetensors(path_, {{"a", DType::F32, {25'000}, data.data()}});
  });
  EXPECT_THAT(files_in_folder(), IsEmpty());
}

}  // namespace
}  // namespace thinktune::weights
