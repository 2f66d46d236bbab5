// Files that are no safetensors, or damaged ones: each is Error{Data} with a message that says what is wrong, and never
// a crash.
#include <gmock/gmock.h>

#include <limits>

#include "support/paths.h"
#include "thinktune/weights/safetensors.h"
#include "weights/sample_files.h"

namespace thinktune::weights {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Three tensors and metadata. Whole pages when padded, so that a read past the file is a fault.
std::string sample_safetensors(bool padded = true) {
  std::string header = R"({"__metadata__":{"format":"pt"},"first":{"dtype":"F32","shape":[5,3],"data_offsets":[0,60]},)"
                       R"("second":{"dtype":"F16","shape":[2,2,2],"data_offsets":[60,76]},)"
                       R"("third":{"dtype":"BF16","shape":[7],"data_offsets":[76,90]}})";
  if (padded) header.resize(4096 - 8 - 90, ' ');
  return test::safetensors_bytes(header, test::random_bytes(90, 1));
}

class SafetensorsMalformed : public testing::Test {
 protected:
  std::string refusal(const std::string& bytes) {
    test::write_bytes(path_, bytes);
    const std::string message = test::message_of_error(core::ErrorKind::Data, [&] { Safetensors source(path_); });
    EXPECT_THAT(message, HasSubstr(path_.string()));
    return message;
  }
  std::string refusal(const std::string& header, size_t data_bytes) {
    return refusal(test::safetensors_bytes(header, std::string(data_bytes, '\0')));
  }
  // A file of 16 bytes of data and one tensor, described by this.
  std::string refusal_of_tensor(const std::string& description) {
    return refusal("{\"weight\":" + description + "}", 16);
  }

  test::TempFolder folder_;
  std::filesystem::path path_ = folder_.path() / "model.safetensors";
};

TEST_F(SafetensorsMalformed, TheSampleItselfIsGood) {
  test::write_bytes(path_, sample_safetensors());
  EXPECT_EQ(Safetensors(path_).tensors().size(), 3u);
}
TEST_F(SafetensorsMalformed, MissingFile) {
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { Safetensors source(path_); }),
              HasSubstr(path_.string()));
}
TEST_F(SafetensorsMalformed, Folder) {
  EXPECT_THAT(test::message_of_error(core::ErrorKind::User, [&] { Safetensors source(folder_.path()); }),
              HasSubstr("regular file"));
}
TEST_F(SafetensorsMalformed, EmptyFile) { EXPECT_THAT(refusal(""), HasSubstr("0 bytes are no safetensors file")); }
TEST_F(SafetensorsMalformed, SevenBytes) {
  EXPECT_THAT(refusal(std::string(7, '\0')), HasSubstr("7 bytes are no safetensors file"));
}
TEST_F(SafetensorsMalformed, GitLfsPointer) {
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
              HasSubstr("git lfs pull"));
}
TEST_F(SafetensorsMalformed, TruncatedAtEveryLength) {
  test::expect_every_truncation_refused(sample_safetensors(), path_,
                                        [](const std::filesystem::path& path) { Safetensors source(path); });
}
TEST_F(SafetensorsMalformed, HeaderLongerThanTheFile) {
  EXPECT_THAT(refusal(test::bytes_of_value<uint64_t>(3) + "{}"),
              HasSubstr("a header of 3 bytes is announced, but 2 follow"));
}
TEST_F(SafetensorsMalformed, HeaderLengthThatOverflows) {
  EXPECT_THAT(refusal(test::bytes_of_value(std::numeric_limits<uint64_t>::max()) + "{}"),
              HasSubstr("18446744073709551615 bytes"));
}
TEST_F(SafetensorsMalformed, EmptyHeader) { EXPECT_THAT(refusal("", 0), HasSubstr("does not begin with '{'")); }
TEST_F(SafetensorsMalformed, HeaderThatIsNoJson) {
  EXPECT_THAT(refusal("{\"weight\":", 0), HasSubstr("malformed JSON at byte"));
}
TEST_F(SafetensorsMalformed, HeaderThatIsAList) { EXPECT_THAT(refusal("[]", 0), HasSubstr("does not begin with '{'")); }
TEST_F(SafetensorsMalformed, HeaderWithTextBehindIt) { EXPECT_THAT(refusal("{} x", 0), HasSubstr("malformed JSON")); }
TEST_F(SafetensorsMalformed, HeaderWithAZeroByte) {
  EXPECT_THAT(refusal(std::string("{}\0\0", 4), 0), HasSubstr("malformed JSON (a zero byte)"));
}
TEST_F(SafetensorsMalformed, HeaderThatIsNotUtf8) {
  EXPECT_THAT(refusal("{\"__metadata__\":{\"k\":\"\xff\"}}", 0), HasSubstr("malformed JSON (not UTF-8 at byte 22)"));
}
TEST_F(SafetensorsMalformed, NameThatIsNotUtf8) {
  EXPECT_THAT(refusal("{\"\xed\xa0\x80\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4),
              HasSubstr("malformed JSON (not UTF-8 at byte 2)"));
}
TEST_F(SafetensorsMalformed, NameWithHalfOfASurrogatePair) {
  EXPECT_THAT(refusal(R"({"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
              HasSubstr("malformed JSON"));
}
TEST_F(SafetensorsMalformed, HugeHeader) {
  test::write_bytes(path_, test::bytes_of_value<uint64_t>(200'000'000) + "{");
  std::filesystem::resize_file(path_, 300'000'000);  // a hole
  EXPECT_THAT(test::message_of_error(core::ErrorKind::Data, [&] { Safetensors source(path_); }),
              HasSubstr("the header of 200000000 bytes is longer than 100000000"));
}
TEST_F(SafetensorsMalformed, PyTorchPickle) {
  EXPECT_THAT(refusal(std::string("PK\x03\x04\0\0\0\0", 8) + std::string(60, '\0')), HasSubstr("PyTorch pickle"));
}
TEST_F(SafetensorsMalformed, NumberOutOfRange) {
  EXPECT_THAT(refusal("{\"weight\":1e999}", 0), HasSubstr("malformed JSON"));
}
TEST_F(SafetensorsMalformed, DeepNesting) {
  EXPECT_THAT(refusal("{\"weight\":" + std::string(2'000'000, '['), 0), HasSubstr("nested deeper than 3 levels"));
}
TEST_F(SafetensorsMalformed, DeepNestingOfObjects) {
  std::string header;
  for (int i = 0; i < 300'000; ++i) header += "{\"a\":";
  EXPECT_THAT(refusal(header, 0), HasSubstr("nested deeper than 3 levels"));
}

TEST_F(SafetensorsMalformed, NameTwice) {
  const std::string tensor = R"("weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  EXPECT_THAT(refusal("{" + tensor + "," + tensor + "}", 4), HasSubstr("'weight' is there twice"));
}
TEST_F(SafetensorsMalformed, MetadataTwice) {
  EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), HasSubstr("'__metadata__' is there twice"));
}
TEST_F(SafetensorsMalformed, MetadataThatIsAText) {
  EXPECT_THAT(refusal(R"({"__metadata__":"x"})", 0), HasSubstr("__metadata__ is not an object"));
}
TEST_F(SafetensorsMalformed, MetadataWithANumber) {
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":1}})", 0), HasSubstr("__metadata__: 'k' is not a text"));
}
TEST_F(SafetensorsMalformed, TensorThatIsAList) {
  EXPECT_THAT(refusal_of_tensor("[1]"), HasSubstr("not described by an object"));
}
TEST_F(SafetensorsMalformed, Float8) {
  for (const char* dtype : {"F8_E4M3", "F8_E5M2", "F8_E8M0"})
    EXPECT_THAT(refusal_of_tensor(fmt::format(R"({{"dtype":"{}","shape":[16],"data_offsets":[0,16]}})", dtype)),
                AllOf(HasSubstr(fmt::format("tensor 'weight' is stored as '{}', which cannot be read", dtype)),
                      HasSubstr("use the model's BF16 or F16 version, or dequantise it first")));
}
TEST_F(SafetensorsMalformed, Integers) {
  for (const char* dtype : {"I8", "U8", "I16", "I32", "I64", "U64"})
    EXPECT_THAT(refusal_of_tensor(fmt::format(R"({{"dtype":"{}","shape":[1],"data_offsets":[0,16]}})", dtype)),
                AllOf(HasSubstr(fmt::format("stored as '{}'", dtype)), HasSubstr("quantised model")));
}
TEST_F(SafetensorsMalformed, OtherDtypes) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F64","shape":[2],"data_offsets":[0,16]})"),
              AllOf(HasSubstr("stored as 'F64'"), HasSubstr("convert the model to F32")));
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"BOOL","shape":[16],"data_offsets":[0,16]})"),
              AllOf(HasSubstr("stored as 'BOOL'"), HasSubstr("use a model in F32, F16 or BF16")));
}
TEST_F(SafetensorsMalformed, DtypeOfGguf) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"Q8_0","shape":[32],"data_offsets":[0,34]})"),
              HasSubstr("stored as 'Q8_0', which cannot be read"));
}
TEST_F(SafetensorsMalformed, DtypeAbsent) {
  EXPECT_THAT(refusal_of_tensor(R"({"shape":[4],"data_offsets":[0,16]})"), HasSubstr("has no dtype"));
}
TEST_F(SafetensorsMalformed, DtypeThatIsANumber) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":32,"shape":[4],"data_offsets":[0,16]})"), HasSubstr("dtype is not a text"));
}
TEST_F(SafetensorsMalformed, ShapeAbsent) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","data_offsets":[0,16]})"), HasSubstr("has no shape"));
}
TEST_F(SafetensorsMalformed, ShapesThatAreNoLists) {
  for (const char* shape : {"4", "\"4\"", "{}", "null", "[[4]]", "[\"4\"]", "[4.0]", "[4e0]", "[true]", "[null]"}) {
    const std::string description = fmt::format(R"({{"dtype":"F32","shape":{},"data_offsets":[0,16]}})", shape);
    const std::string message = refusal_of_tensor(description);
    EXPECT_TRUE(message.find("shape is not a list of integers") != std::string::npos ||
                message.find("nested") != std::string::npos)
        << shape << ": " << message;
  }
}
TEST_F(SafetensorsMalformed, NegativeShape) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[-2,-2],"data_offsets":[0,16]})"),
              HasSubstr("shape is not a list of integers from 0"));
}
TEST_F(SafetensorsMalformed, ShapeBeyondInt64) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,16]})"),
              HasSubstr("shape is not a list"));
}
TEST_F(SafetensorsMalformed, ShapeBeyondUint64) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[18446744073709551620],"data_offsets":[0,16]})"),
              HasSubstr("shape is not a list"));
}
TEST_F(SafetensorsMalformed, ElementsThatOverflow) {  // 2^32 * 2^32 * 4 is 0 modulo 2^64
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]})"),
              HasSubstr("overflows"));
}
TEST_F(SafetensorsMalformed, BytesThatOverflow) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})"),
              HasSubstr("overflows"));
}
TEST_F(SafetensorsMalformed, OffsetsAbsent) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4]})"), HasSubstr("has no data_offsets"));
}
TEST_F(SafetensorsMalformed, ThreeOffsets) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16,32]})"),
              HasSubstr("no begin and end"));
}
TEST_F(SafetensorsMalformed, OffsetsBackwards) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})"), HasSubstr("no begin and end"));
}
TEST_F(SafetensorsMalformed, OffsetsNegative) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4],"data_offsets":[-16,0]})"),
              HasSubstr("data_offsets is not a list of integers from 0"));
}
TEST_F(SafetensorsMalformed, OffsetsThatDoNotMatchTheShape) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F16","shape":[4],"data_offsets":[0,16]})"),
              HasSubstr("shape [4] of F16 takes 8 bytes"));
}
TEST_F(SafetensorsMalformed, TensorPastTheEnd) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[5],"data_offsets":[0,20]})"),
              HasSubstr("'weight' lies outside the file"));
}
TEST_F(SafetensorsMalformed, TensorThatBeginsPastTheEnd) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[4],"data_offsets":[1000000,1000016]})"),
              HasSubstr("outside the file"));
}
TEST_F(SafetensorsMalformed, TensorsThatOverlap) {
  EXPECT_THAT(
      refusal(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
          12),
      HasSubstr("'b' begins at 4 and overlaps"));
}
TEST_F(SafetensorsMalformed, TensorInsideAnother) {
  EXPECT_THAT(
      refusal(
          R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
          16),
      HasSubstr("overlaps"));
}
TEST_F(SafetensorsMalformed, GapBeforeATensor) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[3],"data_offsets":[4,16]})"),
              HasSubstr("leaves a gap after 0"));
}
TEST_F(SafetensorsMalformed, BytesAfterTheLastTensor) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"),
              HasSubstr("4 bytes after the last tensor"));
}

TEST_F(SafetensorsMalformed, RandomChangesNeverCrash) {
  const std::string good = sample_safetensors(false);  // two thirds of its bytes are the header
  const int refused = test::count_refused_mutations(good, 3000, path_, [](const std::filesystem::path& path) {
    const Safetensors source(path);
    test::read_all(source);
  });
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 2900);
}

}  // namespace
}  // namespace thinktune::weights
