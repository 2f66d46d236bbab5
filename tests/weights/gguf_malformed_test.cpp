// Files that are no GGUF, or damaged ones: each is Error{Data} with a message that says what is wrong, and never a
// crash.
#include <gmock/gmock.h>

#include <limits>

#include "support/paths.h"
#include "thinktune/weights/gguf.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

class GgufMalformed : public testing::Test {
 protected:
  std::string refusal(const std::string& bytes) {
    test::write_bytes(path_, bytes);
    const std::string message = test::message_of_error(core::ErrorKind::Data, [&] { Gguf gguf(path_); });
    EXPECT_THAT(message, HasSubstr(path_.string()));
    return message;
  }
  std::string refusal(const test::SampleGguf& file) { return refusal(file.bytes()); }

  // A file with one metadata value.
  std::string refusal_of_value(uint32_t type, const std::string& value) {
    test::SampleGguf file;
    file.add_value("the.key", type, value);
    return refusal(file);
  }
  // A file with one F32 tensor of 4 elements and this entry for it.
  std::string refusal_of_tensor(const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    test::SampleGguf file;
    file.add_info("weight", dims, type, offset);
    file.data = std::string(16, '\0');
    return refusal(file);
  }

  test::TempFolder folder_;
  std::filesystem::path path_ = folder_.path() / "model.gguf";
};

TEST_F(GgufMalformed, MissingFile) {
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { Gguf gguf(path_); }), HasSubstr(path_.string()));
}
TEST_F(GgufMalformed, Folder) {
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { Gguf gguf(folder_.path()); }),
              HasSubstr("regular file"));
}
TEST_F(GgufMalformed, EmptyFile) { EXPECT_THAT(refusal(""), HasSubstr("truncated in the magic number")); }
TEST_F(GgufMalformed, WrongMagic) { EXPECT_THAT(refusal("GGML" + std::string(60, '\0')), HasSubstr("no GGUF file")); }
TEST_F(GgufMalformed, GitLfsPointer) {
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
              HasSubstr("git lfs pull"));
}
TEST_F(GgufMalformed, Version1) {
  test::SampleGguf file;
  file.version = 1;
  EXPECT_THAT(refusal(file), HasSubstr("GGUF version 1 cannot be read"));
}
TEST_F(GgufMalformed, Version4) {
  test::SampleGguf file;
  file.version = 4;
  EXPECT_THAT(refusal(file), HasSubstr("GGUF version 4 cannot be read"));
}
TEST_F(GgufMalformed, BigEndian) {
  test::SampleGguf file;
  file.version = 0x03000000u;
  EXPECT_THAT(refusal(file), HasSubstr("big-endian"));
}
TEST_F(GgufMalformed, TruncatedAtEveryLength) {
  test::expect_every_truncation_refused(test::sample_gguf().bytes(), path_,
                                        [](const std::filesystem::path& path) { Gguf gguf(path); });
}

TEST_F(GgufMalformed, HugeNumberOfValues) {
  test::SampleGguf file = test::sample_gguf();
  file.num_values = kHuge;
  EXPECT_THAT(refusal(file), HasSubstr("truncated in the metadata"));
}
TEST_F(GgufMalformed, HugeNumberOfTensors) {
  test::SampleGguf file = test::sample_gguf();
  file.num_tensors = kHuge / 24 + 2;  // times 24 bytes overflows to a small number
  EXPECT_THAT(refusal(file), HasSubstr("truncated in the tensor list"));
}
TEST_F(GgufMalformed, MoreValuesAnnouncedThanThere) {
  test::SampleGguf file = test::sample_gguf();
  file.num_values = file.true_num_values + 1;
  refusal(file);
}
TEST_F(GgufMalformed, KeyLongerThanTheFile) {
  test::SampleGguf file;
  file.values = test::bytes_of_value(kHuge) + std::string(40, 'k');
  file.true_num_values = 1;
  EXPECT_THAT(refusal(file), HasSubstr("truncated in the key of metadata value 0"));
}
TEST_F(GgufMalformed, KeyTwice) {
  test::SampleGguf file;
  file.add_value("the.key", test::kU8, std::string(1, '\0'));
  file.add_value("the.key", test::kU8, std::string(1, '\1'));
  EXPECT_THAT(refusal(file), HasSubstr("'the.key' is there twice"));
}
TEST_F(GgufMalformed, UnknownValueType) {
  EXPECT_THAT(refusal_of_value(13, std::string(8, '\0')), HasSubstr("'the.key' is of type 13"));
}
TEST_F(GgufMalformed, StringLongerThanTheFile) {
  EXPECT_THAT(refusal_of_value(test::kString, test::bytes_of_value(kHuge)),
              HasSubstr("truncated in the metadata value 'the.key'"));
}
TEST_F(GgufMalformed, UnsignedBeyondInt64) {
  EXPECT_THAT(refusal_of_value(test::kU64, test::bytes_of_value(uint64_t{1} << 63)),
              HasSubstr("9223372036854775808, more than an int64"));
}
TEST_F(GgufMalformed, UnsignedBeyondInt64InAnArray) {
  EXPECT_THAT(refusal_of_value(test::kArray, test::bytes_of_array<uint64_t>(test::kU64, {1, kHuge})),
              HasSubstr("more than an int64"));
}
TEST_F(GgufMalformed, BoolOf2) { EXPECT_THAT(refusal_of_value(test::kBool, "\2"), HasSubstr("a bool of value 2")); }
TEST_F(GgufMalformed, HugeArray) {
  const std::string value = test::bytes_of_value<uint32_t>(test::kI32) + test::bytes_of_value(kHuge / 4 + 2);
  EXPECT_THAT(refusal_of_value(test::kArray, value), HasSubstr("truncated in the metadata value 'the.key'"));
}
TEST_F(GgufMalformed, HugeArrayOfStrings) {
  const std::string value = test::bytes_of_value<uint32_t>(test::kString) + test::bytes_of_value(uint64_t{1} << 40);
  EXPECT_THAT(refusal_of_value(test::kArray, value), HasSubstr("truncated in the metadata value 'the.key'"));
}
TEST_F(GgufMalformed, NestedArray) {
  const std::string inner = test::bytes_of_array<int32_t>(test::kI32, {1});
  const std::string value = test::bytes_of_value<uint32_t>(test::kArray) + test::bytes_of_value<uint64_t>(1) + inner;
  EXPECT_THAT(refusal_of_value(test::kArray, value), HasSubstr("array of arrays"));
}
TEST_F(GgufMalformed, ArrayOfUnknownType) {
  EXPECT_THAT(refusal_of_value(test::kArray, test::bytes_of_array<int32_t>(99, {1})), HasSubstr("items of type 99"));
}
TEST_F(GgufMalformed, AlignmentsThatAreNoPowerOfTwo) {
  for (const uint32_t alignment : {0u, 3u, 48u, 4294967295u}) {
    test::SampleGguf file;
    file.add_value("general.alignment", test::kU32, test::bytes_of_value(alignment));
    EXPECT_THAT(refusal(file), AllOf(HasSubstr("general.alignment"), HasSubstr("no power of two"))) << alignment;
  }
}
TEST_F(GgufMalformed, HugeAlignment) {
  test::SampleGguf file;
  file.add_value("general.alignment", test::kI64, test::bytes_of_value(int64_t{1} << 62));
  EXPECT_THAT(refusal(file), HasSubstr("general.alignment"));
}
TEST_F(GgufMalformed, AlignmentOfAnotherType) {
  test::SampleGguf file;
  file.add_value("general.alignment", test::kString, test::bytes_of_text("32"));
  EXPECT_THAT(refusal(file), HasSubstr("'general.alignment' is a text, not an integer"));
}
TEST_F(GgufMalformed, OnePartOfASplitModel) {
  test::SampleGguf file;
  file.add_value("split.count", test::kU16, test::bytes_of_value<uint16_t>(3));
  EXPECT_THAT(refusal(file), HasSubstr("one of 3 parts"));
}

TEST_F(GgufMalformed, TensorTwice) {
  test::SampleGguf file;
  file.add_tensor("weight", {4}, test::kTensorF32, std::string(16, '\0'));
  file.add_tensor("weight", {4}, test::kTensorF32, std::string(16, '\0'));
  EXPECT_THAT(refusal(file), HasSubstr("'weight' is there twice"));
}
TEST_F(GgufMalformed, TensorPastTheEnd) {
  EXPECT_THAT(refusal_of_tensor({5}, test::kTensorF32, 0), HasSubstr("outside the file"));
}
TEST_F(GgufMalformed, TensorThatBeginsPastTheEnd) {
  EXPECT_THAT(refusal_of_tensor({4}, test::kTensorF32, 32), HasSubstr("'weight' lies outside the file"));
}
TEST_F(GgufMalformed, OffsetThatOverflows) {
  EXPECT_THAT(refusal_of_tensor({4}, test::kTensorF32, kHuge - 31), HasSubstr("outside the file"));
}
TEST_F(GgufMalformed, OffsetOffTheAlignment) {
  EXPECT_THAT(refusal_of_tensor({1}, test::kTensorF32, 4), HasSubstr("offset 4 is no multiple of the alignment 32"));
}
TEST_F(GgufMalformed, TensorsThatOverlap) {
  test::SampleGguf file;
  file.add_info("first", {16}, test::kTensorF32, 0);
  file.add_info("second", {8}, test::kTensorF32, 32);
  file.data = std::string(64, '\0');
  EXPECT_THAT(refusal(file), HasSubstr("'first' and 'second' overlap"));
}
TEST_F(GgufMalformed, FiveDimensions) {
  EXPECT_THAT(refusal_of_tensor({1, 1, 1, 1, 1}, test::kTensorF32, 0), HasSubstr("has 5 dimensions"));
}
TEST_F(GgufMalformed, HugeNumberOfDimensions) {
  test::SampleGguf file;
  file.infos = test::bytes_of_text("weight") + test::bytes_of_value<uint32_t>(0xffffffffu) + std::string(64, '\0');
  file.true_num_tensors = 1;
  EXPECT_THAT(refusal(file), HasSubstr("has 4294967295 dimensions"));
}
TEST_F(GgufMalformed, DimensionBeyondInt64) {
  EXPECT_THAT(refusal_of_tensor({kHuge}, test::kTensorF32, 0), HasSubstr("more than an int64"));
}
TEST_F(GgufMalformed, ElementsThatOverflow) {
  EXPECT_THAT(refusal_of_tensor({uint64_t{1} << 32, uint64_t{1} << 32}, test::kTensorF32, 0), HasSubstr("overflows"));
}
TEST_F(GgufMalformed, BytesThatOverflow) {
  EXPECT_THAT(refusal_of_tensor({uint64_t{1} << 62}, test::kTensorF32, 0), HasSubstr("overflows"));
}
TEST_F(GgufMalformed, RowsThatAreNoWholeBlocks) {
  EXPECT_THAT(refusal_of_tensor({16, 2}, test::kTensorQ8_0, 0),
              HasSubstr("rows of 16 do not divide into Q8_0 blocks of 32"));
}
TEST_F(GgufMalformed, ScalarOfABlockType) {
  EXPECT_THAT(refusal_of_tensor({}, test::kTensorQ8_0, 0), HasSubstr("rows of 1 do not divide"));
}
TEST_F(GgufMalformed, TypeThatCannotBeRead) {
  EXPECT_THAT(refusal_of_tensor({256}, test::kTensorQ4_K, 0),
              HasSubstr("stored as Q4_K (ggml type 12), which cannot be read"));
}
TEST_F(GgufMalformed, UnknownTensorType) {
  EXPECT_THAT(refusal_of_tensor({4}, 250, 0), HasSubstr("unknown ggml type 250"));
}
TEST_F(GgufMalformed, NamesAreShownWithoutControlCharacters) {
  test::SampleGguf file;
  file.add_info("a\x1b[2J\n", {4}, 250, 0);
  EXPECT_THAT(refusal(file), HasSubstr("tensor 'a\\x1b[2J\\x0a'"));
}

TEST_F(GgufMalformed, RandomChangesNeverCrash) {
  const int refused =
      test::count_refused_mutations(test::sample_gguf().bytes(), 3000, path_, [](const std::filesystem::path& path) {
        const Gguf gguf(path);
        test::read_all(gguf);
      });
  EXPECT_GT(refused, 300);
  EXPECT_LT(refused, 2900);
}

}  // namespace
}  // namespace thinktune::weights
