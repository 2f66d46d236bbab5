#include "thinktune/report/event_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <string>

#include "support/paths.h"
#include "thinktune/core/atomic_file.h"
#include "thinktune/core/error.h"

namespace thinktune::report {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

uint64_t read_little_endian(const std::string& bytes, size_t at, size_t num_bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < num_bytes; ++i) value |= uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

std::vector<std::string> read_records(const fs::path& path) {
  const std::string bytes = core::read_file(path, "event file");
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = read_little_endian(bytes, at, 8);
    EXPECT_EQ(read_little_endian(bytes, at + 8, 4), masked_crc32c(bytes.substr(at, 8)));
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(read_little_endian(bytes, at + 12 + length, 4), masked_crc32c(records.back()));
    at += 16 + length;
  }
  return records;
}

// RFC 3720, B.4, and the usual check value.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string rising(32, '\0');
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(crc32c(rising), 0x46DD794Eu);
}

TEST(Crc32c, MaskRotatesAndAdds) {
  EXPECT_EQ(masked_crc32c(""), 0xA282EAD8u);
  const uint32_t crc = 0xE3069283u;
  EXPECT_EQ(masked_crc32c("123456789"), ((crc >> 15) | (crc << 17)) + 0xA282EAD8u);
}

// Bytes as the `tensorboard` package's own messages serialise them.
TEST(Events, HaveTheWireFormatsBytes) {
  EXPECT_EQ(encode_version_event(1.5), "\x09\x00\x00\x00\x00\x00\x00\xF8\x3F\x1A\x0D"s + "brain.Event:2");
  Metrics metrics;
  metrics.add("a/b", 0.5);
  EXPECT_EQ(encode_scalars(1.5, 300, metrics),
            "\x09\x00\x00\x00\x00\x00\x00\xF8\x3F"s  // wall time 1.5
            "\x10\xAC\x02"s                          // step 300
            "\x2A\x0C\x0A\x0A"s                      // summary, value
            "\x0A\x03"s
            "a/b"s
            "\x15\x00\x00\x00\x3F"s);  // tag, 0.5
  EXPECT_EQ(encode_session_start(1.5, 7), "\x09\x00\x00\x00\x00\x00\x00\xF8\x3F\x10\x07\x3A\x02\x08\x01"s);
}

TEST(Events, LeaveOutWhatIsNotFinite) {
  Metrics with, without;
  with.add("a", 1);
  with.add("nan", std::nan(""));
  with.add("inf", std::numeric_limits<double>::infinity());
  with.add("too large for a float", 1e300);
  with.add("b", -2);
  without.add("a", 1);
  without.add("b", -2);
  EXPECT_EQ(encode_scalars(0, 1, with), encode_scalars(0, 1, without));
}

TEST(Records, AreFramed) {
  const std::string record = frame_record("123456789");
  ASSERT_EQ(record.size(), 8u + 4 + 9 + 4);
  EXPECT_EQ(record.substr(0, 8), "\x09\0\0\0\0\0\0\0"s);
  EXPECT_EQ(read_little_endian(record, 8, 4), masked_crc32c("\x09\0\0\0\0\0\0\0"s));
  EXPECT_EQ(record.substr(12, 9), "123456789");
  EXPECT_EQ(read_little_endian(record, 21, 4), masked_crc32c("123456789"));
}

TEST(EventWriter, BeginsWithTheVersionAndAResumedOneWithItsStep) {
  const test::TempFolder folder;
  Metrics metrics;
  metrics.add("loss", 0.25);
  fs::path first, second;
  {
    EventWriter writer(folder.path() / "tensorboard", 0);
    writer.add(1, metrics);
    first = writer.path();
  }
  {
    EventWriter writer(folder.path() / "tensorboard", 2);
    writer.add(2, metrics);
    second = writer.path();
  }
  EXPECT_LT(first.filename().string(), second.filename().string());
  const auto a = read_records(first), b = read_records(second);
  ASSERT_EQ(a.size(), 2u);
  ASSERT_EQ(b.size(), 3u);
  // The wall time in the first nine bytes is of now.
  EXPECT_EQ(a[0].substr(9), encode_version_event(0).substr(9));
  EXPECT_EQ(a[1].substr(9), encode_scalars(0, 1, metrics).substr(9));
  EXPECT_EQ(b[0].substr(9), encode_version_event(0).substr(9));
  EXPECT_EQ(b[1].substr(9), encode_session_start(0, 2).substr(9));
  EXPECT_EQ(b[2].substr(9), encode_scalars(0, 2, metrics).substr(9));
}

// Readers take the files in the order of their names, which begin with the time.
TEST(EventWriter, AResumedOneStandsBehindTheOthersWhenTheClockWasSetBack) {
  const test::TempFolder folder;
  const std::string ahead = "events.out.tfevents.4000000000.000001.1.thinktune";
  std::ofstream(folder.path() / ahead) << "of a clock that was ahead";
  const EventWriter writer(folder.path(), 2), again(folder.path(), 3);
  EXPECT_GT(writer.path().filename().string(), ahead);
  EXPECT_GT(again.path().filename().string(), writer.path().filename().string());
}

TEST(EventWriter, RefusesAFolderThatCannotBeMade) {
  EXPECT_THROW(EventWriter("/proc/thinktune/tensorboard", 0), core::Error);
}

}  // namespace
}  // namespace thinktune::report
