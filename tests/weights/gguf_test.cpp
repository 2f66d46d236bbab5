#include "thinktune/weights/gguf.h"

#include <gmock/gmock.h>

#include "support/paths.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GgufTest : public testing::Test {
 protected:
  Gguf open(const std::string& bytes) {
    test::write_bytes(path_, bytes);
    return Gguf(path_);
  }
  test::TempFolder folder_;
  std::filesystem::path path_ = folder_.path() / "model.gguf";
};

TEST_F(GgufTest, ReadsEveryTypeOfValue) {
  const Gguf gguf = open(test::sample_gguf().bytes());
  EXPECT_EQ(gguf.text("general.architecture"), "llama");
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
  EXPECT_EQ(std::get<bool>(*gguf.find_value("v.bool")), true);
  EXPECT_THAT(gguf.integers("a.i32"), ElementsAre(1, -2, 3));
  EXPECT_THAT(gguf.integers("a.u8"), ElementsAre(255));
  EXPECT_THAT(gguf.integers("a.u64"), IsEmpty());
  EXPECT_THAT(gguf.integers("a.bool"), ElementsAre(1, 0));
  EXPECT_THAT(std::get<std::vector<double>>(*gguf.find_value("a.f32")), ElementsAre(0.5, -1.5));
  EXPECT_THAT(std::get<std::vector<double>>(*gguf.find_value("a.f64")), ElementsAre(2.5));
  EXPECT_THAT(gguf.texts("a.text"), ElementsAre("one", "", "dr\xc3\xa4i"));
}

TEST_F(GgufTest, GivesTensorsInTheFilesOrderWithShapesReversed) {
  const Gguf gguf = open(test::sample_gguf().bytes());
  std::vector<std::string> names;
  for (const TensorInfo& tensor : gguf.tensors()) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "scalar", "empty", "q5_1",
                                 "q2_k", "q3_k", "q5_k", "q6_k", "q4_k"));
  EXPECT_THAT(gguf.find("f32")->shape, ElementsAre(2, 3));
  EXPECT_THAT(gguf.find("bf16")->shape, ElementsAre(3, 2, 1));
  EXPECT_THAT(gguf.find("q4_1")->shape, ElementsAre(2, 1, 1, 32));
  EXPECT_THAT(gguf.find("scalar")->shape, IsEmpty());
  EXPECT_EQ(gguf.find("scalar")->num_elements(), 1u);
  EXPECT_EQ(gguf.find("empty")->num_elements(), 0u);
  EXPECT_EQ(gguf.find("q5_1")->dtype, DType::Q5_1);
  EXPECT_EQ(gguf.find("q3_k")->dtype, DType::Q3_K);
  EXPECT_THAT(gguf.find("q2_k")->shape, ElementsAre(2, 256));
  EXPECT_EQ(gguf.find("absent"), nullptr);
  EXPECT_EQ(gguf.where(), path_.string());
}

TEST_F(GgufTest, GivesEachTensorItsOwnBytes) {
  const Gguf gguf = open(test::sample_gguf().bytes());
  const auto content = [&](const char* name) {
    const auto bytes = gguf.find(name)->bytes;
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  EXPECT_EQ(content("f32"), test::random_bytes(24, 1));
  EXPECT_EQ(content("q8_0"), test::random_bytes(102, 4));
  EXPECT_EQ(content("q5_0"), test::random_bytes(22, 7));
  EXPECT_EQ(content("scalar"), test::random_bytes(4, 8));
  EXPECT_EQ(content("q5_1"), test::random_bytes(96, 9));
  test::read_all(gguf);
}

TEST_F(GgufTest, MovesWithItsMapping) {
  Gguf first = open(test::sample_gguf().bytes());
  const Gguf second = std::move(first);
  EXPECT_EQ(second.text("general.architecture"), "llama");
  test::read_all(second);
}

TEST_F(GgufTest, FindsEachOfManyTensors) {
  test::SampleGguf file;
  for (int i = 0; i < 20'000; ++i) file.add_info("tensor." + std::to_string(i), {0}, test::kTensorF32, 0);
  const Gguf gguf = open(file.bytes());
  for (int i = 0; i < 20'000; ++i) {
    const TensorInfo* found = gguf.find("tensor." + std::to_string(i));
    ASSERT_EQ(found, &gguf.tensors()[static_cast<size_t>(i)]);
  }
  EXPECT_EQ(gguf.find("tensor.20000"), nullptr);
}

TEST_F(GgufTest, GivesTheSameValuesAfterItsPagesWereReleased) {
  test::SampleGguf file;
  const std::string content = test::random_bytes(5 * 4096 * 4, 1);
  file.add_tensor("a", {5 * 4096}, test::kTensorF32, content);
  const Gguf gguf = open(file.bytes());
  const TensorInfo& tensor = gguf.tensors()[0];
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(std::memcmp(tensor.bytes.data(), content.data(), content.size()), 0) << round;
    gguf.release(tensor);
  }
}

TEST_F(GgufTest, ReadsVersion2) {
  test::SampleGguf file = test::sample_gguf();
  file.version = 2;
  EXPECT_EQ(open(file.bytes()).tensors().size(), 15u);
}

TEST_F(GgufTest, ReadsAFileWithoutTensorsAndWithoutValues) {
  EXPECT_THAT(open(test::SampleGguf().bytes()).tensors(), IsEmpty());
}

TEST_F(GgufTest, FollowsTheAlignmentOfTheFile) {
  for (const uint32_t alignment : {8u, 64u, 256u}) {
    test::SampleGguf file;
    file.alignment = alignment;
    file.add_value("general.alignment", test::kU32, test::bytes_of_value(alignment));
    file.add_tensor("a", {3}, test::kTensorF32, test::random_bytes(12, 1));
    file.add_tensor("b", {2}, test::kTensorF32, test::random_bytes(8, 2));
    const Gguf gguf = open(file.bytes());
    EXPECT_EQ(std::memcmp(gguf.find("b")->bytes.data(), test::random_bytes(8, 2).data(), 8), 0) << alignment;
  }
}

TEST_F(GgufTest, NamesKeyAndFileWhenAValueIsAbsentOrOfAnotherType) {
  const Gguf gguf = open(test::sample_gguf().bytes());
  const auto message = [](auto action) { return test::message_of_error(core::ErrorKind::Data, action); };
  EXPECT_THAT(message([&] { gguf.integer("llama.block_count"); }), HasSubstr("no 'llama.block_count'"));
  EXPECT_THAT(message([&] { gguf.integer("llama.block_count"); }), HasSubstr(path_.string()));
  EXPECT_THAT(message([&] { gguf.integer("v.f32"); }), HasSubstr("'v.f32' is a number, not an integer"));
  EXPECT_THAT(message([&] { gguf.integer("v.bool"); }), HasSubstr("is a bool, not an integer"));
  EXPECT_THAT(message([&] { gguf.text("v.u8"); }), HasSubstr("is an integer, not a text"));
  EXPECT_THAT(message([&] { gguf.texts("a.i32"); }), HasSubstr("is a list of integers, not a list of texts"));
  EXPECT_THAT(message([&] { gguf.integers("a.f32"); }), HasSubstr("is a list of numbers, not a list of integers"));
  EXPECT_THAT(message([&] { gguf.number("general.architecture"); }), HasSubstr("is a text, not a number"));
  EXPECT_EQ(gguf.number("v.i8"), -100.0);
  EXPECT_EQ(gguf.find_value("absent"), nullptr);
}

}  // namespace
}  // namespace thinktune::weights
