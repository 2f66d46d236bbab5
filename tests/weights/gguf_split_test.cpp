// Models in several GGUF files, as llama.cpp's gguf-split makes them.
#include <gmock/gmock.h>

#include "support/paths.h"
#include "thinktune/weights/gguf.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class GgufSplit : public testing::Test {
 protected:
  std::filesystem::path path(int number, int count = 3) const {
    return folder_.path() / fmt::format("model-{:05}-of-{:05}.gguf", number, count);
  }
  // Part `number` (from 1) with these tensors of one value, which is the part's number.
  static test::SampleGguf part(int number, const std::vector<std::string>& tensors, int count = 3, int total = 4) {
    test::SampleGguf file;
    if (number == 1) file.add_value("general.architecture", test::kString, test::bytes_of_text("llama"));
    file.add_value("split.no", test::kU16, test::bytes_of_value(static_cast<uint16_t>(number - 1)));
    file.add_value("split.count", test::kU16, test::bytes_of_value(static_cast<uint16_t>(count)));
    file.add_value("split.tensors.count", test::kI32, test::bytes_of_value<int32_t>(total));
    for (const std::string& name : tensors)
      file.add_tensor(name, {1}, test::kTensorF32, test::bytes_of_value(static_cast<float>(number)));
    return file;
  }
  void write(int number, const test::SampleGguf& file) { test::write_bytes(path(number), file.bytes()); }
  void write_all() {
    write(1, part(1, {"a"}));
    write(2, part(2, {"b", "c"}));
    write(3, part(3, {"d"}));
  }
  std::string refusal(const std::filesystem::path& file) {
    return test::message_of_error(core::ErrorKind::Data, [&] { Gguf gguf(file); });
  }

  test::TempFolder folder_;
};

TEST_F(GgufSplit, AllPartsAreOneSource) {
  write_all();
  const Gguf gguf(path(1));
  std::vector<std::string> names;
  std::vector<float> values;
  for (const TensorInfo& tensor : gguf.tensors()) {
    names.push_back(tensor.name);
    to_float(tensor, &values.emplace_back());
  }
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(values, ElementsAre(1.0f, 2.0f, 2.0f, 3.0f));
  EXPECT_EQ(gguf.text("general.architecture"), "llama");
  EXPECT_EQ(gguf.where(), path(1).string());
}

TEST_F(GgufSplit, AFirstPartWithoutTensors) {  // gguf-split --no-tensor-first-split
  write(1, part(1, {}));
  write(2, part(2, {"a", "b"}));
  write(3, part(3, {"c", "d"}));
  EXPECT_EQ(Gguf(path(1)).tensors().size(), 4u);
}

TEST_F(GgufSplit, OneOfOneIsAnOrdinaryFile) {
  const auto file = folder_.path() / "model.gguf";
  test::write_bytes(file, part(1, {"a"}, 1, 1).bytes());
  EXPECT_EQ(Gguf(file).tensors().size(), 1u);
}

TEST_F(GgufSplit, NotTheFirstPart) {
  write_all();
  EXPECT_THAT(refusal(path(2)), AllOf(HasSubstr("part 2 of 3 of a model, and not the first"), HasSubstr("--merge")));
}
TEST_F(GgufSplit, ANameThatDoesNotTellTheOtherParts) {
  const auto file = folder_.path() / "renamed.gguf";
  test::write_bytes(file, part(1, {"a"}).bytes());
  EXPECT_THAT(refusal(file), AllOf(HasSubstr("does not end in -00001-of-00003.gguf"), HasSubstr("--merge")));
}
TEST_F(GgufSplit, AMissingPart) {
  write_all();
  std::filesystem::remove(path(3));
  EXPECT_THAT(refusal(path(1)), HasSubstr("the part model-00003-of-00003.gguf of the model is not there"));
}
TEST_F(GgufSplit, ADamagedPart) {
  write_all();
  test::write_bytes(path(2), "GGUF");
  EXPECT_THAT(refusal(path(1)), AllOf(HasSubstr(path(2).string()), HasSubstr("truncated in the version")));
}
TEST_F(GgufSplit, APartInThePlaceOfAnother) {
  write_all();
  write(2, part(3, {"b", "c"}));
  EXPECT_THAT(refusal(path(1)), HasSubstr("this is not part 2 of 3 of the model"));
}
TEST_F(GgufSplit, APartOfAnotherModel) {
  write_all();
  write(3, part(3, {"d"}, 5));
  EXPECT_THAT(refusal(path(1)), HasSubstr("this is not part 3 of 3 of the model"));
}
TEST_F(GgufSplit, APartThatIsAWholeModel) {
  write_all();
  write(2, test::sample_gguf());
  EXPECT_THAT(refusal(path(1)), HasSubstr("this is not part 2 of 3 of the model"));
}
TEST_F(GgufSplit, ATensorInTwoParts) {
  write_all();
  write(3, part(3, {"b"}));
  EXPECT_THAT(refusal(path(1)), AllOf(HasSubstr(path(3).string()), HasSubstr("the tensor 'b' is there twice")));
}
TEST_F(GgufSplit, FewerTensorsThanAnnounced) {
  write_all();
  write(3, part(3, {}));
  EXPECT_THAT(refusal(path(1)), HasSubstr("4 tensors are announced, and the 3 parts hold 3"));
}
TEST_F(GgufSplit, CountsThatCannotBe) {
  for (const int64_t count : {int64_t{-1}, int64_t{100'000}, INT64_MAX}) {
    test::SampleGguf file;
    file.add_value("split.count", test::kI64, test::bytes_of_value(count));
    write(1, file);
    EXPECT_THAT(refusal(path(1)), HasSubstr(fmt::format("split.count is {}", count)));
  }
}

}  // namespace
}  // namespace thinktune::weights
