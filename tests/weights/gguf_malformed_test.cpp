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
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { Gguf gguf(path_); }), HasSubstr(path_.string()));
}
TEST_F(GgufMalformed, Folder) {
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { Gguf gguf(folder_.path()); }),
              HasSubstr("regular file"));
}
TEST_F(GgufMalformed, EmptyFile) { EXPECT_THAT(refusal(""), HasSubstr("truncated in the magic number")); }
TEST_F(GgufMalformed, WrongMagic) { EXPECT_THAT(refusal("GGML" + std::string(60, '\0')), HasSubstr("no GGUF file")); }
TEST_F(GgufMalformed, GitLfsPointer) {
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
              HasSubstr("git lfs pull"));
}
TEST_F(GgufMalformed, PyTorchPickle) {
  EXPECT_THAT(refusal(std::string("PK\x03\x04", 4) + std::string(60, '\0')),
              AllOf(HasSubstr("no GGUF file"), HasSubstr("pickle")));
}
TEST_F(GgufMalformed, Version1) {
  test::SampleGguf file;
  file.version = 1;
  EXPECT_THAT(refusal(file), AllOf(HasSubstr("GGUF version 1 cannot be read"), HasSubstr("convert the model again")));
}
TEST_F(GgufMalformed, Version4) {
  test::SampleGguf file;
  file.version = 4;
  EXPECT_THAT(refusal(file), HasSubstr("GGUF version 4 cannot be read"));
}
TEST_F(GgufMalformed, BigEndian) {
  for (const uint32_t version : {0x01000000u, 0x02000000u, 0x03000000u}) {
    test::SampleGguf file;
    file.version = version;
    EXPECT_THAT(refusal(file), AllOf(HasSubstr("big-endian"), HasSubstr("gguf_convert_endian.py")));
  }
}
TEST_F(GgufMalformed, TruncatedAtEveryLength) {
  test::expect_every_truncation_refused(test::sample_gguf().bytes(), path_,
                                        [](const std::filesystem::path& path) { Gguf gguf(path); });
}

// Behind each structural boundary of a small file, and one byte further where there is one.
TEST_F(GgufMalformed, TruncationsNameWhatWasBeingRead) {
  test::SampleGguf file;
  file.add_value("key", test::kArray, test::bytes_of_array<std::string>(test::kString, {"x"}));
  file.add_tensor("weight", {4}, test::kTensorF32, std::string(16, '\0'));
  const std::string good = file.bytes();
  const std::vector<std::pair<size_t, std::string>> pieces = {
      {4, "the magic number"},
      {4, "the version"},
      {8, "the number of tensors"},
      {8, "the number of metadata values"},
      {8, "the metadata"},              // the key's length
      {3, "the metadata"},              // the key: what follows is too short for the shortest value
      {4, "the metadata value 'key'"},  // type
      {4, "the metadata value 'key'"},  // item type
      {8, "the metadata value 'key'"},  // number of items
      {8, "the metadata value 'key'"},  // an item's length
      {1, "the metadata value 'key'"},  // the item
      {8, "the name of tensor 0"},      // its length
      {6, "the name of tensor 0"},
      {4, "tensor 'weight'"},  // number of dimensions
      {8, "tensor 'weight'"},  // the dimension
      {4, "tensor 'weight'"},  // type
      {8, "tensor 'weight'"},  // offset
  };
  size_t begin = 0;
  for (const auto& [num_bytes, what] : pieces) {
    for (size_t length = begin; length < begin + num_bytes; ++length) {
      const std::string message = refusal(good.substr(0, length));
      EXPECT_THAT(message, HasSubstr("truncated in ")) << length;
      // A list that cannot fit any more is named as a whole, before its first entry is read.
      EXPECT_THAT(message, testing::AnyOf(HasSubstr("truncated in " + what), HasSubstr("truncated in the metadata:"),
                                          HasSubstr("truncated in the tensor list:")))
          << length;
    }
    begin += num_bytes;
  }
  for (size_t length = begin; length < good.size(); ++length)
    EXPECT_THAT(refusal(good.substr(0, length)), HasSubstr("tensor 'weight' lies outside the file")) << length;
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
TEST_F(GgufMalformed, MoreEntriesThanAModelHasInAFileThatCouldHoldThem) {
  test::SampleGguf file;
  file.num_values = (1 << 20) + 1;
  file.data = std::string(size_t{13} << 21, '\0');
  EXPECT_THAT(refusal(file), HasSubstr("1048577 metadata values and 0 tensors are announced"));
  file.num_values = 0;
  file.num_tensors = (1 << 20) + 1;
  EXPECT_THAT(refusal(file), HasSubstr("0 metadata values and 1048577 tensors are announced"));
}
TEST_F(GgufMalformed, MoreItemsThanAVocabularyHasInAFileThatCouldHoldThem) {
  test::SampleGguf file;
  file.add_value("the.key", test::kArray,
                 test::bytes_of_value<uint32_t>(test::kU8) + test::bytes_of_value<uint64_t>((1 << 24) + 1));
  file.data = std::string((1 << 24) + 64, '\0');
  EXPECT_THAT(refusal(file), HasSubstr("'the.key' has 16777217 items"));
}
TEST_F(GgufMalformed, TextTooLongInAFileThatCouldHoldIt) {
  test::SampleGguf file;
  file.add_value("the.key", test::kString, test::bytes_of_value<uint64_t>((1 << 26) + 1));
  test::write_bytes(path_, file.bytes());
  std::filesystem::resize_file(path_, (1 << 26) + 4096);  // a hole
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { Gguf gguf(path_); }),
              HasSubstr("'the.key' is a text of 67108865 bytes"));
}
TEST_F(GgufMalformed, TextsThatAreNotUtf8) {
  const std::vector<std::string> bad = {"\xff",
                                        "a\x80",
                                        "\xc3",
                                        "\xc0\xaf",
                                        "\xe0\x80\xaf",
                                        "\xed\xa0\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xf0\x80\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xe2\x82"};
  for (const std::string& text : bad) {
    EXPECT_THAT(refusal_of_value(test::kString, test::bytes_of_text(text)),
                HasSubstr("the metadata value 'the.key' is not UTF-8"));
    EXPECT_THAT(refusal_of_value(test::kArray, test::bytes_of_array<std::string>(test::kString, {"good", text})),
                HasSubstr("the metadata value 'the.key' is not UTF-8"));
    test::SampleGguf key;
    key.add_value("k" + text, test::kU8, "x");
    EXPECT_THAT(refusal(key), HasSubstr("the key of metadata value 0 is not UTF-8 (byte "));
    test::SampleGguf tensor;
    tensor.add_tensor("n" + text, {1}, test::kTensorF32, "1234");
    EXPECT_THAT(refusal(tensor), HasSubstr("the name of tensor 0 is not UTF-8"));
  }
}
TEST_F(GgufMalformed, EveryLengthOfUtf8IsRead) {
  test::SampleGguf file;
  const std::string text = "a\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
  file.add_value("the.key", test::kString, test::bytes_of_text(text));
  test::write_bytes(path_, file.bytes());
  EXPECT_EQ(Gguf(path_).text("the.key"), text);
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
TEST_F(GgufMalformed, ArraysNestedDeeply) {
  std::string value;
  for (int i = 0; i < 100'000; ++i)
    value += test::bytes_of_value<uint32_t>(test::kArray) + test::bytes_of_value<uint64_t>(1);
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
TEST_F(GgufMalformed, TypesThatCannotBeReadAreNamed) {
  const std::vector<std::pair<uint32_t, std::string>> types = {
      {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},
      {23, "IQ4_XS"},  {24, "I8"},     {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"}, {39, "MXFP4"}};
  for (const auto& [type, name] : types)
    EXPECT_THAT(refusal_of_tensor({256}, type, 0),
                AllOf(HasSubstr("'weight' is stored as " + name + " (ggml type " + std::to_string(type) + ")"),
                      HasSubstr("use a file in F32, F16, BF16, Q8_0, Q6_K, Q5_K")));
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
