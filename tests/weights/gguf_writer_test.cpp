// write_gguf: read back by our own reader, and the bytes that other readers insist on.
#include "thinktune/weights/gguf_writer.h"

#include <gmock/gmock.h>

#include "support/paths.h"
#include "thinktune/weights/gguf.h"
#include "weights/file_size_limit.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

class GgufWriter : public testing::Test {
 protected:
  std::vector<std::string> files_in_folder() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename().string());
    return names;
  }
  test::TempFolder folder_;
  fs::path path_ = folder_.path() / "model.gguf";
};

TEST_F(GgufWriter, RoundTripOfEveryTypeOfValue) {
  write_gguf(path_,
             {{"general.architecture", "llama"},
              {"v.bool", true},
              {"v.u8", uint8_t{200}},
              {"v.i8", int8_t{-100}},
              {"v.u16", uint16_t{60000}},
              {"v.i16", int16_t{-30000}},
              {"v.u32", uint32_t{4000000000u}},
              {"v.i32", int32_t{-2000000000}},
              {"v.u64", uint64_t{1} << 40},
              {"v.i64", -(int64_t{1} << 40)},
              {"v.f32", 0.25f},
              {"v.f64", 1e-300},
              {"v.text", std::string("dr\xc3\xa4i\0x", 7)},
              {"a.bool", std::vector<bool>{true, false}},
              {"a.u8", std::vector<uint8_t>{255}},
              {"a.i8", std::vector<int8_t>{-1}},
              {"a.u16", std::vector<uint16_t>{}},
              {"a.i16", std::vector<int16_t>{-2}},
              {"a.u32", std::vector<uint32_t>{4000000000u}},
              {"a.i32", std::vector<int32_t>{1, -2, 3}},
              {"a.u64", std::vector<uint64_t>{1}},
              {"a.i64", std::vector<int64_t>{-1}},
              {"a.f32", std::vector<float>{0.5f, -1.5f}},
              {"a.f64", std::vector<double>{2.5}},
              {"a.text", std::vector<std::string>{"one", "", "two"}}},
             {});
  const Gguf gguf(path_);
  EXPECT_EQ(gguf.text("general.architecture"), "llama");
  EXPECT_EQ(std::get<bool>(*gguf.find_value("v.bool")), true);
  EXPECT_EQ(gguf.integer("v.u8"), 200);
  EXPECT_EQ(gguf.integer("v.i8"), -100);
  EXPECT_EQ(gguf.integer("v.u16"), 60000);
  EXPECT_EQ(gguf.integer("v.i16"), -30000);
  EXPECT_EQ(gguf.integer("v.u32"), 4000000000);
  EXPECT_EQ(gguf.integer("v.i32"), -2000000000);
  EXPECT_EQ(gguf.integer("v.u64"), int64_t{1} << 40);
  EXPECT_EQ(gguf.integer("v.i64"), -(int64_t{1} << 40));
  EXPECT_EQ(gguf.number("v.f32"), 0.25);
  EXPECT_EQ(gguf.number("v.f64"), 1e-300);
  EXPECT_EQ(gguf.text("v.text"), std::string("dr\xc3\xa4i\0x", 7));
  EXPECT_THAT(gguf.integers("a.bool"), ElementsAre(1, 0));
  EXPECT_THAT(gguf.integers("a.u8"), ElementsAre(255));
  EXPECT_THAT(gguf.integers("a.i8"), ElementsAre(-1));
  EXPECT_THAT(gguf.integers("a.u16"), IsEmpty());
  EXPECT_THAT(gguf.integers("a.i16"), ElementsAre(-2));
  EXPECT_THAT(gguf.integers("a.u32"), ElementsAre(4000000000));
  EXPECT_THAT(gguf.integers("a.i32"), ElementsAre(1, -2, 3));
  EXPECT_THAT(gguf.integers("a.u64"), ElementsAre(1));
  EXPECT_THAT(gguf.integers("a.i64"), ElementsAre(-1));
  EXPECT_THAT(std::get<std::vector<double>>(*gguf.find_value("a.f32")), ElementsAre(0.5, -1.5));
  EXPECT_THAT(std::get<std::vector<double>>(*gguf.find_value("a.f64")), ElementsAre(2.5));
  EXPECT_THAT(gguf.texts("a.text"), ElementsAre("one", "", "two"));
}

TEST_F(GgufWriter, RoundTripOfEveryTypeOfTensor) {
  std::vector<std::string> contents;
  std::vector<TensorToWrite> tensors;
  for (const DType dtype : test::every_dtype())
    contents.push_back(test::random_bytes(bytes_of(dtype, 6 * 256), contents.size()));
  for (size_t i = 0; i < contents.size(); ++i) {
    const DType dtype = test::every_dtype()[i];
    tensors.push_back({"w." + std::string(name_of(dtype)), dtype, {3, 2, 256}, contents[i].data()});
  }
  tensors.push_back({"scalar", DType::F32, {}, contents[0].data()});
  tensors.push_back({"empty", DType::Q8_0, {0, 32}});
  tensors.push_back({"odd", DType::BF16, {3}, contents[0].data()});
  write_gguf(path_, {{"general.architecture", "llama"}}, tensors);
  const Gguf gguf(path_);
  ASSERT_EQ(gguf.tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& read = gguf.tensors()[i];
    EXPECT_EQ(read.name, tensors[i].name);
    EXPECT_EQ(read.dtype, tensors[i].dtype);
    EXPECT_EQ(read.shape, tensors[i].shape);
    if (read.bytes.empty()) continue;
    EXPECT_EQ(std::memcmp(read.bytes.data(), tensors[i].data, read.bytes.size()), 0) << read.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read.bytes.data()) % 32, 0u) << read.name;
  }
}

TEST_F(GgufWriter, TheseBytes) {
  const std::string a = "aaaa", b = "bbbbbb";
  write_gguf(path_, {{"key", uint32_t{7}}, {"list", std::vector<std::string>{"x"}}},
             {{"a", DType::F32, {1}, a.data()}, {"b", DType::F16, {1, 3}, b.data()}});
  test::SampleGguf expected;
  expected.add_value("key", test::kU32, test::bytes_of_value<uint32_t>(7));
  expected.add_value("list", test::kArray, test::bytes_of_array<std::string>(test::kString, {"x"}));
  expected.add_tensor("a", {1}, test::kTensorF32, a);
  expected.add_tensor("b", {3, 1}, test::kTensorF16, b);
  EXPECT_EQ(test::read_bytes(path_), expected.bytes() + std::string(26, '\0')) << "the last tensor is padded too";
}

TEST_F(GgufWriter, FollowsTheAlignmentOfTheMetadata) {
  const std::string data(20, 'x');
  for (const uint32_t alignment : {8u, 64u, 4096u}) {
    write_gguf(path_, {{"general.alignment", alignment}},
               {{"a", DType::F32, {5}, data.data()}, {"b", DType::F32, {1}, data.data()}});
    const Gguf gguf(path_);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(gguf.find("b")->bytes.data()) % alignment, 0u);
    EXPECT_EQ(fs::file_size(path_) % alignment, 0u);
  }
}

TEST_F(GgufWriter, TheSameInputGivesTheSameBytes) {
  const std::string data = test::random_bytes(34, 1);
  const auto write = [&] {
    write_gguf(path_, {{"z", 1.5f}, {"a", false}}, {{"w", DType::Q8_0, {32}, data.data()}});
    return test::read_bytes(path_);
  };
  const std::string first = write();
  EXPECT_EQ(write(), first);
}

TEST_F(GgufWriter, CallbacksAreAskedOnceAndInOrder) {
  std::vector<std::string> asked;
  const auto tensor = [&](const std::string& name, int64_t rows, char content) {
    return TensorToWrite{name, DType::Q8_0, {rows, 32}, nullptr, [&asked, name, rows, content](std::byte* out) {
                           asked.push_back(name);
                           std::memset(out, content, 34 * static_cast<size_t>(rows));
                         }};
  };
  write_gguf(path_, {}, {tensor("large", 9, 'l'), tensor("small", 1, 's'), tensor("none", 0, 'n')});
  EXPECT_THAT(asked, ElementsAre("large", "small"));
  const Gguf gguf(path_);
  EXPECT_THAT(gguf.find("large")->bytes, testing::Each(std::byte{'l'}));
  EXPECT_THAT(gguf.find("small")->bytes, testing::Each(std::byte{'s'}));
  EXPECT_EQ(test::read_bytes(path_).substr(fs::file_size(path_) - 30), std::string(30, '\0'))
      << "padding of a callback";
}

TEST_F(GgufWriter, AFullDiskOrAThrowingCallbackLeavesTheOldFileAndNothingElse) {
  const std::string data(100'000, 'x');
  write_gguf(path_, {{"old", true}}, {});
  const std::string old_bytes = test::read_bytes(path_);
  for (const rlim_t limit : {0, 100, 4096, 99'999}) {
    const test::FileSizeLimit full_disk(limit);
    test::message_of_error(core::ErrorKind::User, [&] {
      write_gguf(path_, {}, {{"a", DType::F32, {25'000}, data.data()}});
    });
    EXPECT_EQ(test::read_bytes(path_), old_bytes) << limit;
  }
  test::message_of_error(core::ErrorKind::Data, [&] {
    write_gguf(path_, {}, {{"a", DType::F32, {1}, nullptr, [](std::byte*) { throw core::data_error("no"); }}});
  });
  EXPECT_EQ(test::read_bytes(path_), old_bytes);
  EXPECT_THAT(files_in_folder(), ElementsAre("model.gguf"));
}

TEST_F(GgufWriter, RefusesWhatIsNotUtf8) {
  const float value = 0.0f;
  const auto refuse = [&](const std::vector<GgufEntry>& metadata, const std::string& name) {
    return test::message_of_error(core::ErrorKind::User, [&] {
      write_gguf(path_, metadata, {{name, DType::F32, {1}, &value}});
    });
  };
  EXPECT_THAT(refuse({{"\xff", true}}, "a"), HasSubstr("the metadata key '\\xff' is not UTF-8"));
  EXPECT_THAT(refuse({{"k", "\xff"}}, "a"), HasSubstr("metadata value 'k': '\\xff' is not UTF-8"));
  EXPECT_THAT(refuse({{"k", std::vector<std::string>{"a", "\xed\xa0\x80"}}}, "a"), HasSubstr("'k'"));
  EXPECT_THAT(refuse({}, "\xc0\xaf"), HasSubstr("the tensor name '\\xc0\\xaf' is not UTF-8"));
  EXPECT_THAT(files_in_folder(), IsEmpty());
}

TEST_F(GgufWriter, RefusesWhatNoCallerMayAsk) {
  const std::string data(4096, '\0');
  const auto refuse = [&](const std::vector<GgufEntry>& metadata, const std::vector<TensorToWrite>& tensors) {
    return test::message_of_error(core::ErrorKind::Internal, [&] { write_gguf(path_, metadata, tensors); });
  };
  EXPECT_THAT(refuse({{"", true}}, {}), HasSubstr("key of 0 bytes"));
  EXPECT_THAT(refuse({{std::string(65536, 'k'), true}}, {}), HasSubstr("key of 65536 bytes"));
  EXPECT_THAT(refuse({{"k", true}, {"k", false}}, {}), HasSubstr("'k' is to be written twice"));
  for (const GgufTypedValue& alignment :
       std::vector<GgufTypedValue>{uint32_t{0}, uint32_t{48}, uint32_t{4}, uint32_t{1} << 17, uint64_t{32}, "32"})
    EXPECT_THAT(refuse({{"general.alignment", alignment}}, {}), HasSubstr("general.alignment is no uint32"));
  EXPECT_THAT(refuse({}, {{"", DType::F32, {1}, data.data()}}), HasSubstr("cannot be the name"));
  EXPECT_THAT(refuse({}, {{std::string(64, 'n'), DType::F32, {1}, data.data()}}), HasSubstr("cannot be the name"));
  EXPECT_THAT(refuse({}, {{"a", DType::F32, {1}, data.data()}, {"a", DType::F32, {1}, data.data()}}),
              HasSubstr("'a' is to be written twice"));
  EXPECT_THAT(refuse({}, {{"a", DType::F32, {1, 1, 1, 1, 1}, data.data()}}), HasSubstr("shape [1, 1, 1, 1, 1]"));
  EXPECT_THAT(refuse({}, {{"a", DType::F32, {-1}, data.data()}}), HasSubstr("shape [-1]"));
  EXPECT_THAT(refuse({}, {{"a", DType::Q8_0, {32, 16}, data.data()}}), HasSubstr("no whole Q8_0 blocks"));
  EXPECT_THAT(refuse({}, {{"a", DType::Q8_0, {}, data.data()}}), HasSubstr("no whole Q8_0 blocks"));
  EXPECT_THAT(refuse({}, {{"a", DType::F32, {int64_t{1} << 62}, data.data()}}), HasSubstr("overflows"));
  EXPECT_THAT(refuse({}, {{"a", DType::F32, {1}, nullptr}}), HasSubstr("no data"));
  EXPECT_THAT(files_in_folder(), IsEmpty());
}

}  // namespace
}  // namespace thinktune::weights
